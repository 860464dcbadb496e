Feature: OpenHCL and the kernel in VTL2
  OpenHCL's boot loader describes the mailbox of a TDX guest in a DeviceTree of its own shape. Operating systems that run
  there rely on that shape, and set their trampoline and their way of starting processors up by the isolation that they
  find; it is a contract with one implementation, not with a specification.

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

  @HVL-01 @sender
  Scenario: With TDX isolation the VTL raises the limit and uses the standard set-up
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the limit is 4 GiB, and the trampoline is reserved and set up

  @HVL-02 @sender
  Scenario: With other isolation types the VTL allocates no trampoline
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level with VBS isolation
    Then there is a stub header and no trampoline

  @HVL-03 @sender
  Scenario: The hypercall start is installed only without TDX isolation
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the hypercall is installed where the isolation is not TDX, and only there

  @HVL-04 @sender
  Scenario: With TDX isolation and no mailbox the APs fail without a hypercall
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD without a mailbox
    Then every start fails, and no callback or hypercall is used

  @HVL-05 @sender
  Scenario: The VTL sets its limits before the trampoline is reserved
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the limit is set before the trampoline is reserved, and the mailbox is found later
