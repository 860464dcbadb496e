Feature: The OpenHCL kernel in VTL2 without TDX
  The hypervisor is trusted here, and starts the processors. The kernel has no memory below 1 MiB and needs none: a stub
  stands in for the header of the trampoline. The bring-up through the mailbox is that of Linux and is not reached;
  asked for alone, it does not refuse a second wake (DUP-04).

  @HVL-03 @sender
  Scenario: Without TDX OpenHCL's kernel starts each processor by one hypercall
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots at a virtual trust level without TDX and with a mailbox node in the DeviceTree
    Then each processor is started by one hypercall, and by nothing else

  @SEL-08 @sender
  Scenario: Without TDX OpenHCL's kernel keeps the hypercall although there is a mailbox node
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots at a virtual trust level without TDX and with a mailbox node in the DeviceTree
    Then the platform's own way of starting processors is in force

  @HVL-02 @sender
  Scenario: Without TDX OpenHCL's kernel has a stub header and no trampoline
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level with VBS isolation
    Then there is a stub header and no trampoline

  @HVL-02 @sender
  Scenario: Without TDX OpenHCL's kernel sets its stub header up where its limit is set
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level with VBS isolation
    Then the stub header is set up where the limit is, before any processor is listed
