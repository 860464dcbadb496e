Feature: The mailbox page as firmware hands it over
  One block of 4096 bytes that all processors share, which the operating system must not reuse, idle until it is first used.

  @MEM-01 @tables
  Scenario: The mailbox is one shared 4096-byte block, aligned to 4096
    Given a published mailbox
    When the published addresses are compared
    Then it is one block of 4096 bytes, aligned to 4096

  @MEM-02 @tables
  Scenario: Firmware allocates the mailbox block in ACPI NVS memory
    Given a mailbox published in the MADT
    When the mailbox page is looked up in the memory map
    Then firmware has allocated it in ACPI NVS memory

  @MEM-15 @tables
  Scenario: Command is 0 at hand-off
    Given a published mailbox
    When the mailbox page is read as firmware left it
    Then Command is 0

  @MEM-16 @tables
  Scenario: ApicId is 0xFFFFFFFF and WakeupVector is 0 at hand-off
    Given a published mailbox
    When the mailbox page is read as firmware left it
    Then ApicId is 0xFFFFFFFF and WakeupVector 0

  @MEM-06 @receiver
  Scenario: Firmware and APs write nothing in the OS section except Command
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then firmware writes nothing in the OS section but Command

  @MEM-07 @receiver
  Scenario: On the firmware side only the accepting AP writes Command, and only the value 0
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then only the processor that accepts a command writes Command, and only 0

  @MEM-12 @receiver
  Scenario: The 2032 bytes of ReservedForOs at offset 16 belong to the OS
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then bytes 16 to 2047 keep their content

  @MEM-05 @sender
  Scenario: The OS never writes bytes 2048 to 4095
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then the operating system writes nothing in bytes 2048 to 4095

  @MEM-09 @sender
  Scenario: Reserved is zero whenever a command is visible
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then Reserved is 0 whenever a command is visible

  @MEM-03 @receiver
  Scenario: The mailbox does not move once control is with the OS loader
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then every processor polls the page that was published

  @MEM-04 @receiver
  Scenario: Bytes 0 to 2047 are the OS section and bytes 2048 to 4095 the firmware section
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then the loop uses no byte of the OS section beyond the fields

  @MEM-08 @receiver
  Scenario: Command is 16 bits wide at offset 0
    Given an AP loop that polls the mailbox
    When the operating system sends the reserved commands 0x100 and 0x101
    Then neither is taken for the command 1

  @MEM-10 @receiver
  Scenario: ApicId is 32 bits wide at offset 4
    Given an AP loop that polls the mailbox
    When the operating system wakes processors whose APIC IDs have their low bytes in common
    Then each takes the command that carries all 32 bits of its APIC ID

  @MEM-11 @receiver
  Scenario: WakeupVector is 64 bits wide at offset 8
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor with a vector above 4 GiB
    Then all eight bytes of WakeupVector are read, and decide

  @MEM-14 @receiver
  Scenario: All values in the mailbox are little-endian
    Given an AP loop that polls the mailbox
    When the operating system wakes processors whose APIC IDs are each other's bytes in reverse
    Then each takes the command whose bytes are its own in little-endian order

  @MEM-19 @receiver
  Scenario: The AP loop can read and write the mailbox through its own page tables
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then its page tables let it read and write the mailbox

  @MEM-13 @receiver
  Scenario: The half that belongs to firmware is held against nobody who uses it
    When no implementation is driven

  @MEM-04 @sender
  Scenario: The OS stores in bytes 0 to 2047 only
    Given a bring-up through the mailbox
    When three processors are woken in a page whose fields are poisoned
    Then every store of the operating system lies wholly in bytes 0 to 2047

  @MEM-08 @sender
  Scenario: The OS takes Command for 16 bits at offset 0
    Given a bring-up through the mailbox
    When three processors are woken in a page whose fields are poisoned
    Then no access to Command goes beyond bytes 0 and 1

  @MEM-10 @sender
  Scenario: The OS writes ApicId as 32 bits at offset 4
    Given a bring-up through the mailbox
    When three processors are woken in a page whose fields are poisoned
    Then all four bytes at offset 4 are the target's APIC ID

  @MEM-11 @sender
  Scenario: The OS writes WakeupVector as 64 bits at offset 8
    Given a bring-up through the mailbox
    When three processors are woken in a page whose fields are poisoned
    Then all eight bytes at offset 8 are the wakeup vector

  @MEM-12 @sender
  Scenario: The OS keeps what it puts into the mailbox page in ReservedForOs
    Given an operating system that boots
    When an operating system boots without usable memory below 1 MiB
    Then what the operating system puts into the mailbox page lies in bytes 16 to 2047

  @MEM-14 @sender
  Scenario: The OS stores its values in little-endian order
    Given a bring-up through the mailbox
    When three processors are woken in a page whose fields are poisoned
    Then no field has its bytes in reverse

  @MEM-17 @sender
  Scenario: The OS preserves the mailbox, the AP loop, its page tables and its GDT for its whole life
    Given an operating system that boots
    When an operating system fills all free memory and then starts a processor that was held back
    Then no memory that waiting processors need is used, and the processor comes alive

  @MEM-18 @sender
  Scenario: The OS maps the mailbox write-back cacheable
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then the mailbox is mapped write-back
