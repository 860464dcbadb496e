Feature: Test and the reset vector
  ACPI 6.6 lets an operating system give a processor back: it jumps to the reset vector, and a Test command shows that it
  waits on the mailbox again.

  @RST-10 @receiver
  Scenario: An AP answers Test by clearing Command and keeps polling
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test with a vector to a processor that was never woken
    Then the addressed processor answers by setting Command to 0 and does not jump

  @RST-11 @receiver
  Scenario: An AP ignores a Test for another APIC ID
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test to an APIC ID that nobody has
    Then no processor answers

  @RST-13 @receiver
  Scenario: After the answer to Test an AP accepts a new Wakeup with a new vector
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system resets a processor, tests it, and wakes it again, three times
    Then each new Wakeup is taken with its new vector

  @RST-15 @receiver
  Scenario: An AP that was never woken answers Test too
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system tests a processor and then wakes it
    Then Test is answered before the first wake, and the wake is taken after it

  @RST-14 @sender
  Scenario: Test is not sent to firmware with mailbox version 0
    Given a bring-up through the mailbox
    And an edition whose mailbox has version 0
    When three processors are woken one after the other
    Then Test is never sent
