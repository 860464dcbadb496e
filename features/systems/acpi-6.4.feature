Feature: Firmware that keeps to ACPI 6.4
  A version 0 structure, and a loop that each processor leaves once. Nothing beyond the specification: no private APIC
  ID, no private command.

  @MADT-02 @tables
  Scenario: The version 0 structure of ACPI 6.4 firmware has 16 bytes
    Given a wakeup structure with MailBoxVersion 0
    When the MADT is walked entry by entry
    Then the Length of the version 0 structure is 16

  @RCV-01 @RCV-06 @RCV-08 @RCV-17 @receiver
  Scenario: The loop of ACPI 6.4 firmware wakes one processor after the other
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then every processor lands
    And it acknowledges by setting Command to 0
    And the acknowledgement comes from firmware, before the vector is entered
    And the others go on using the mailbox

  @MEM-06 @RCV-09 @ORD-07 @ORD-10 @receiver
  Scenario: The loop of ACPI 6.4 firmware acknowledges by two bytes and writes nothing else
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then firmware writes nothing in the OS section but Command
    And the acknowledgement changes Command and nothing else
    And each access is that of one whole field
    And the acknowledgement does not reach into ApicId

  @RCV-07 @ORD-05 @ORD-09 @receiver
  Scenario: The loop of ACPI 6.4 firmware has read the vector when it acknowledges
    Given an AP loop that polls the mailbox
    When the operating system overwrites the vector as soon as Command is 0
    Then it still lands at the vector of its command
    And the vector was loaded before the acknowledgement became visible
    And nothing of the OS section is read between the acknowledgement and the jump

  @ORD-04 @receiver
  Scenario: The loop of ACPI 6.4 firmware never takes one command for another's
    Given an AP loop that polls the mailbox
    When the operating system fills the fields for one processor and wakes another, over and over
    Then no processor joins the ApicId of one command with the Command of another

  @RCV-16 @DUP-07 @receiver
  Scenario: A processor of ACPI 6.4 firmware takes one command
    Given an AP loop that polls the mailbox
    When the operating system sends a second Wakeup to a processor that runs
    Then it no longer looks at the mailbox
    And the second command stays unacknowledged

  @RCV-20 @receiver
  Scenario: The loop of ACPI 6.4 firmware knows no private APIC ID
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then no processor takes it
