Feature: What OpenHCL publishes to the kernel in VTL2
  OpenHCL's boot loader describes the mailbox of a TDX guest in a DeviceTree of its own shape. Operating systems that run
  there rely on that shape; it is a contract with one implementation, not with a specification.

  @HVL-06 @tables
  Scenario: OpenHCL describes the mailbox of a TDX guest, and of no other, at 0xFFFFF000
    Given a DeviceTree made by OpenHCL
    When the DeviceTree is read
    Then a TDX guest, and no other, has the node wakeup_table at 0xFFFFF000

  @HVL-07 @tables
  Scenario: OpenHCL gives each cpu node its APIC ID in reg and status okay
    Given a DeviceTree made by OpenHCL for a TDX guest
    And a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then each cpu is okay, and its reg is its APIC ID

  @HVL-08 @tables
  Scenario: OpenHCL's mailbox page is reserved memory, not ACPI NVS
    Given a DeviceTree made by OpenHCL for a TDX guest
    And a mailbox node in the DeviceTree
    When the mailbox page is looked up in the memory map
    Then the page is reserved, and not ACPI NVS memory
