Feature: What OpenHCL's boot loader publishes
  The boot loader describes the mailbox of a TDX guest in the DeviceTree that it makes for the kernel in VTL2: the node,
  the processors, the page in the memory map, and acpi=off. As it ships, /reserved-memory has other size cells than the
  root (DT-08).

  @DT-05 @DT-06 @HVL-06 @tables
  Scenario: OpenHCL's mailbox node is called wakeup_table and is one page at 0xFFFFF000
    Given a mailbox node in the DeviceTree
    And a DeviceTree made by OpenHCL
    When the DeviceTree is read
    Then its base is a multiple of 4096
    And its size is 0x1000
    And a TDX guest, and no other, has the node wakeup_table at 0xFFFFF000

  @DT-01 @DT-02 @DT-03 @DT-04 @DT-07 @DT-09 @tables
  Scenario: OpenHCL's mailbox node is what the binding asks for but for the cells above it
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then its compatible is the single string intel,wakeup-mailbox
    And it has a reg, not a size alone
    And it is a child of /reserved-memory
    And its reg holds one address and one size
    And it has no property beyond those of reserved memory, and no child
    And /reserved-memory has an empty ranges

  @DT-14 @DT-15 @DT-18 @HVL-07 @tables
  Scenario: OpenHCL lists each processor with its APIC ID
    Given a mailbox node in the DeviceTree
    And a DeviceTree made by OpenHCL for a TDX guest
    When the DeviceTree is read
    Then /cpus has one address cell or more and no size cell, and each cpu its device_type and a reg of its own
    And the reg of each cpu is a local APIC ID of 32 bits, the one of the MADT where there is one
    And no cpu has the status disabled without an enable-method
    And each cpu is okay, and its reg is its APIC ID

  @HVL-08 @tables
  Scenario: OpenHCL reserves the mailbox page in the memory map
    Given a DeviceTree made by OpenHCL for a TDX guest
    And a mailbox node in the DeviceTree
    When the mailbox page is looked up in the memory map
    Then the page is reserved, and not ACPI NVS memory

  @SEL-03 @tables
  Scenario: OpenHCL turns ACPI off
    Given a mailbox node in the DeviceTree
    And no mailbox in the MADT
    When the kernel command line is read
    Then it turns ACPI off
