Feature: Enumeration of the mailbox in a DeviceTree
  Firmware without ACPI describes the same mailbox as a node of reserved memory, compatible with intel,wakeup-mailbox. The
  presence of the node is the whole signal: no version, no reset vector, no reference from the cpu nodes.

  @DT-01 @tables
  Scenario: The mailbox node has the compatible string intel,wakeup-mailbox
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then its compatible is the single string intel,wakeup-mailbox

  @DT-02 @tables
  Scenario: The mailbox node gives its address in reg
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then it has a reg, not a size alone

  @DT-03 @tables
  Scenario: The mailbox node is a child of /reserved-memory
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then it is a child of /reserved-memory

  @DT-04 @tables
  Scenario: The reg of the mailbox node has exactly one range
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then its reg holds one address and one size

  @DT-05 @tables
  Scenario: The base of the DeviceTree mailbox is a multiple of 4096
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then its base is a multiple of 4096

  @DT-06 @tables
  Scenario: The size of the DeviceTree mailbox is 0x1000
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then its size is 0x1000

  @DT-07 @tables
  Scenario: The mailbox node has no properties beyond its binding
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then it has no property beyond those of reserved memory, and no child

  @DT-08 @tables
  Scenario: /reserved-memory has the cell counts of the root node
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then /reserved-memory has the address and size cells of the root

  @DT-09 @tables
  Scenario: /reserved-memory has an empty ranges property
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then /reserved-memory has an empty ranges

  @DT-10 @tables
  Scenario: The mailbox node is not reusable
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then it is not reusable, least of all together with no-map

  @DT-11 @tables
  Scenario: The unit address of the mailbox node equals its reg base
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then its unit address is its base

  @DT-12 @tables
  Scenario: A mailbox node announces neither a version nor a reset vector
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then it announces no version and no reset vector

  @DT-14 @tables
  Scenario: /cpus and its cpu nodes have the standard form
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then /cpus has one address cell or more and no size cell, and each cpu its device_type and a reg of its own

  @DT-15 @tables
  Scenario: The reg of a cpu node is the local APIC ID
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then the reg of each cpu is a local APIC ID of 32 bits, the one of the MADT where there is one

  @DT-17 @tables
  Scenario: The status of every cpu node is one that tells which processors to leave alone
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then the status of each cpu is one that tells which processors to leave alone

  @DT-18 @tables
  Scenario: A disabled cpu node has an enable-method
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then no cpu has the status disabled without an enable-method

  @DT-22 @tables
  Scenario: The cells of the mailbox's reg are big-endian
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then the cells of its reg are big-endian

  @DT-23 @tables
  Scenario: An address at or above 4 GiB is given in full
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then an address at or above 4 GiB stands in it in full

  @DT-24 @tables
  Scenario: The page behind the node holds an ACPI mailbox and no other protocol
    Given a mailbox node in the DeviceTree
    When the mailbox page is read as firmware left it
    Then Command holds a value that ACPI defines

  @DT-21 @receiver
  Scenario: E820 also keeps the DeviceTree mailbox out of usable RAM
    Given an AP loop that polls the mailbox
    And a mailbox that a DeviceTree announces
    When the operating system wakes one processor after the other
    Then the memory map keeps the page out of usable memory too

  @DT-24 @receiver
  Scenario: The mailbox behind the node works as ACPI 6.6 describes
    Given an AP loop that polls the mailbox
    And a mailbox that a DeviceTree announces
    When the operating system wakes one processor after the other
    Then the loop keeps to every rule of ACPI for receivers

  @DT-05 @sender
  Scenario: The OS does not use a mailbox node with an unaligned base
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with a mailbox node whose base is not aligned
    Then a node with an unaligned base gives no mailbox

  @DT-06 @sender
  Scenario: The OS does not use a mailbox node of another size
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with a mailbox node of 0x800 bytes
    Then a node of any size but 0x1000 gives no mailbox

  @DT-12 @sender
  Scenario: A mailbox from the DeviceTree serves each AP once
    Given an operating system that boots
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots from a DeviceTree and is asked to take a processor offline and online again
    Then no processor is given back, tested or woken again

  @DT-13 @sender
  Scenario: The mailbox node alone announces the wakeup method
    Given an operating system that boots
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with a mailbox node in the DeviceTree
    Then the mailbox is used although nothing but its node announces it

  @DT-15 @sender
  Scenario: The OS takes the reg of a cpu node for the APIC ID
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with a mailbox node in the DeviceTree
    Then ApicId is the reg of the cpu node, above 255 too

  @DT-16 @sender
  Scenario: The OS skips a cpu node without a usable reg
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with a cpu node that has no reg
    Then a cpu node without reg is skipped with a warning, and the boot goes on

  @DT-17 @sender
  Scenario: The OS skips failed cpu nodes and still enumerates disabled ones
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with failed and disabled cpu nodes
    Then failed cpu nodes are skipped and disabled ones enumerated

  @DT-19 @sender
  Scenario: The OS takes the first compatible node and ignores its status
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with two mailbox nodes
    Then the first mailbox node is used, whatever the status of one is

  @DT-20 @sender
  Scenario: The OS ignores an invalid mailbox node and goes on
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with a mailbox node that has no reg
    Then an invalid mailbox node costs the mailbox and not the boot
