Feature: Enumeration of the mailbox in the MADT
  ACPI firmware publishes the mailbox in one entry of the MADT: the Multiprocessor Wakeup Structure, type 0x10. Version 0
  of it (ACPI 6.4 and 6.5) ends with the address; version 1 (ACPI 6.6) adds the reset vector. An operating system that
  takes the structure for the wrong length, the wrong version or the wrong place writes its commands where no processor looks.

  @MADT-01 @tables
  Scenario: The wakeup structure has the type 0x10
    Given a MADT
    When the MADT is walked entry by entry
    Then the wakeup structure has the type 0x10

  @MADT-02 @tables
  Scenario: A version 0 wakeup structure is 16 bytes long
    Given a wakeup structure with MailBoxVersion 0
    When the MADT is walked entry by entry
    Then the Length of the version 0 structure is 16

  @MADT-03 @tables
  Scenario: A version 1 wakeup structure is 24 bytes long
    Given a wakeup structure with MailBoxVersion 1
    When the MADT is walked entry by entry
    Then the Length of the version 1 structure is 24

  @MADT-04 @tables
  Scenario: MailBoxVersion is the one that the ACPI edition defines
    Given a wakeup structure in the MADT
    When the MADT is walked entry by entry
    Then MailBoxVersion is the one of the edition: 0 in ACPI 6.4 and 6.5, 1 in ACPI 6.6

  @MADT-05 @tables
  Scenario: The reserved field of the wakeup structure is zero
    Given a wakeup structure in the MADT
    When the MADT is walked entry by entry
    Then the Reserved field at offset 4 is 0

  @MADT-06 @tables
  Scenario: MailBoxAddress is a 64-bit physical address at entry offset 8
    Given a wakeup structure in the MADT
    When the MADT is walked entry by entry
    Then MailBoxAddress, eight bytes at offset 8, is a processor-physical address

  @MADT-07 @tables
  Scenario: The mailbox address is a multiple of 4096
    Given a MailBoxAddress that is not 0
    When the MADT is walked entry by entry
    Then MailBoxAddress is a multiple of 4096

  @MADT-08 @tables
  Scenario: The memory map reports the MADT mailbox as ACPI NVS
    Given a MailBoxAddress that is not 0
    When the mailbox page is looked up in the memory map
    Then the mailbox lies in a range of type ACPI NVS

  @MADT-09 @tables
  Scenario: ACPI NVS covers all 4096 bytes of the MADT mailbox
    Given a MailBoxAddress that is not 0
    And a mailbox that begins in ACPI NVS memory
    When the mailbox page is looked up in the memory map
    Then all 4096 bytes of the mailbox lie in ACPI NVS memory

  @MADT-10 @tables
  Scenario: ResetVector is a physical address, or 0 where the mailbox cannot be reset
    Given a wakeup structure long enough to hold a ResetVector
    When the MADT is walked entry by entry
    Then ResetVector, eight bytes at offset 16, is 0 or a physical address

  @MADT-11 @tables
  Scenario: The code at ResetVector lies within one physical page
    Given a ResetVector that is not 0
    When the size of the reset code is known
    Then the code at ResetVector ends in the physical page that it begins in

  @MADT-12 @tables
  Scenario: The MADT length includes the wakeup entry and the checksum is correct
    Given a MADT that holds a wakeup structure, or is too damaged to tell
    When the bytes of the MADT are summed
    Then Length covers the wakeup structure and all bytes sum to 0 modulo 256

  @MADT-13 @tables
  Scenario: MADT entries follow one another and end with the table
    Given a MADT that holds a wakeup structure, or is too damaged to tell
    When the MADT is walked entry by entry
    Then the chain of entries ends exactly at the table's end

  @MADT-14 @tables
  Scenario: The MADT revision agrees with the form of the wakeup structure
    Given a wakeup structure in the MADT
    When the MADT is walked entry by entry
    Then the revision of the MADT fits the version and Length of the structure

  @MADT-15 @tables
  Scenario: The MADT has at most one wakeup structure
    Given a wakeup structure in the MADT
    When the MADT is walked entry by entry
    Then there is one wakeup structure and no second

  @MADT-16 @tables
  Scenario: No _MAT object returns a wakeup structure
    Given _MAT objects in the AML
    When the AML is searched for constant buffers
    Then no _MAT object returns an entry of type 0x10

  @MADT-18 @tables
  Scenario: Processors with an APIC ID of 255 or more are described by type 9 entries
    Given a processor whose APIC ID is 255 or above
    When the MADT is walked entry by entry
    Then that processor is described by a type 9 entry of 16 bytes

  @MADT-19 @tables
  Scenario: Processors with an APIC ID below 255 are described by type 0 entries
    Given a wakeup structure in the MADT
    When the MADT is walked entry by entry
    Then processors with an APIC ID below 255 are described by type 0 entries, each processor once

  @MADT-29 @tables
  Scenario: The boot processor is the first processor that the MADT describes
    Given a wakeup structure in the MADT
    When the APIC ID of the boot processor is known
    Then the first processor entry is that of the boot processor

  @MADT-30 @receiver
  Scenario: A host-supplied wakeup entry does not win over the firmware's own
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host hands over a MADT with a wakeup entry of its own
    Then the first wakeup entry in it is the firmware's

  @MADT-17 @sender
  Scenario: The processors come from the table and not from counting
    Given an operating system that boots
    When an operating system boots with sparse APIC IDs
    Then exactly the enabled processors of the table are woken, except its own

  @MADT-21 @sender
  Scenario: A wakeup entry that is too short is refused
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of 12 bytes at the end of the MADT
    Then no mailbox is adopted from an entry that is too short

  @MADT-23 @sender
  Scenario: A version 0 entry is accepted
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of version 0
    Then the mailbox of a version 0 entry is used

  @MADT-26 @sender
  Scenario: MailBoxAddress 0 is no mailbox
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with MailBoxAddress 0
    Then each start is refused as not supported, and physical page 0 is not touched

  @MADT-10 @sender
  Scenario: A mailbox with ResetVector 0 is not reset
    Given an operating system that boots
    When an operating system boots with ResetVector 0 and is asked to take a processor offline
    Then the mailbox is not taken for one that can be reset

  @MADT-18 @sender
  Scenario: The OS wakes processors that type 9 entries describe
    Given an operating system that boots
    When an operating system boots with sparse APIC IDs
    Then a processor of a type 9 entry is addressed by all 32 bits of its APIC ID

  @MADT-20 @sender
  Scenario: Processors whose Enabled flag is clear are not woken
    Given an operating system that boots
    When an operating system boots with processor entries that are not enabled
    Then no processor whose Enabled flag is clear is woken

  @MADT-22 @sender
  Scenario: The OS reads ResetVector only from a version 1 entry of at least 24 bytes
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 1 entry of 16 bytes and is asked to take a processor offline
    Then the bytes of the next entry are not taken for a ResetVector

  @MADT-24 @sender
  Scenario: A version 0 parser accepts a newer or longer entry
    Given an operating system that boots
    When an operating system boots with a wakeup entry of version 1
    Then a version 1 entry of 24 bytes is not refused

  @MADT-25 @sender
  Scenario: The OS takes the known prefix of a later or longer wakeup entry
    Given an operating system that boots
    When an operating system boots with a wakeup entry of version 2 and 32 bytes
    Then the mailbox of an entry that is newer and longer is used

  @MADT-27 @sender
  Scenario: The OS diagnoses or refuses an unaligned MADT mailbox address
    Given an operating system that boots
    When an operating system boots with an unaligned MailBoxAddress
    Then an unaligned MailBoxAddress is refused, or reported

  @MADT-28 @sender
  Scenario: A malformed wakeup entry does not stop the parsing of other entries
    Given an operating system that boots
    When an operating system boots with a wakeup entry of 12 bytes between processor entries
    Then a malformed wakeup entry costs neither the boot nor a processor

  @MADT-29 @sender
  Scenario: The OS does not take the first processor entry for itself
    Given an operating system that boots
    When an operating system boots on a processor that the MADT lists third
    Then the boot processor is known by its own APIC ID and not by its place
