Feature: The choice between MADT and DeviceTree
  A kernel that may use ACPI looks into the MADT alone. What firmware publishes must leave it no wrong choice.

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
