Feature: The choice between MADT and DeviceTree
  A kernel that may use ACPI looks into the MADT alone. What firmware publishes must leave it no wrong choice, and where there
  is no mailbox the kernel starts its processors in another way, or says that it cannot.

  @SEL-03 @tables
  Scenario: The boot loader of a DeviceTree-only platform passes acpi=off
    Given a mailbox node in the DeviceTree
    And no mailbox in the MADT
    When the kernel command line is read
    Then it turns ACPI off

  @SEL-11 @tables
  Scenario: MADT and DeviceTree describe the same mailbox page
    Given a mailbox published in the MADT and in the DeviceTree
    When the published addresses are compared
    Then both name the same page

  @SEL-01 @sender
  Scenario: With ACPI enabled the OS uses the MADT mailbox and not the DeviceTree
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a MADT and a DeviceTree
    Then the mailbox of the MADT alone is used, and each processor is registered once

  @SEL-02 @sender
  Scenario: With ACPI disabled the OS uses a populated DeviceTree
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with acpi=off, a MADT and a DeviceTree
    Then the mailbox of the DeviceTree alone is used

  @SEL-04 @sender
  Scenario: The kernel is built with the options that its mailbox code needs
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system that was built without SMP boots with a wakeup entry of version 1
    Then the mailbox is used by a build that has what it needs, and by no other

  @SEL-05 @sender
  Scenario: A registered mailbox replaces the SIPI path
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of version 1
    Then no INIT and no SIPI is sent beside the mailbox

  @SEL-06 @sender
  Scenario: Without a mailbox the OS uses INIT-SIPI-SIPI
    Given an operating system that boots
    When an operating system boots without a mailbox
    Then processors are started by INIT and SIPI, and no mailbox is touched

  @SEL-07 @sender
  Scenario: In a TD without a mailbox the OS fails AP bring-up cleanly
    Given an operating system that boots
    When an operating system boots in a TD without a mailbox
    Then the starts fail with an error, nothing else is tried, and the boot goes on

  @SEL-08 @sender
  Scenario: Platform code may replace the wake callback after detection
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots at a virtual trust level without TDX and with a mailbox node in the DeviceTree
    Then the platform's own way of starting processors is in force

  @SEL-09 @sender
  Scenario: The DeviceTree path builds the CPU list before it sets up the mailbox
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with a mailbox node in the DeviceTree
    Then every processor is registered before the mailbox is set up

  @SEL-10 @sender
  Scenario: With acpi=off the OS does not use the MADT mailbox
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with acpi=off and a MADT
    Then the mailbox of the MADT is not used

  @SEL-12 @sender
  Scenario: CPUs held back by maxcpus= can be woken later
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with maxcpus=1 and is asked to start a processor later
    Then a processor that maxcpus= held back is woken when it is asked for
