Feature: One use for each processor
  A processor that has left the loop does not come back for a second command.

  @DUP-07 @receiver
  Scenario: A second Wakeup for a running AP stays pending and does not disturb it
    Given an AP loop that polls the mailbox
    When the operating system sends a second Wakeup to a processor that runs
    Then the second command stays unacknowledged

  @DUP-01 @sender
  Scenario: Under mailbox version 0 an AP is woken at most once
    Given a bring-up through the mailbox
    And an edition whose mailbox has version 0
    When the operating system is asked to wake a processor twice
    Then at most one Wakeup is sent to it

  @DUP-04 @sender
  Scenario: Early Linux refused a second wake of an APIC ID with -EINVAL
    Given a bring-up through the mailbox
    When the operating system is asked to wake a processor twice
    Then the second wake is refused with an invalid-argument error before any store
