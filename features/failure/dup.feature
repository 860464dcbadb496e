Feature: One use for each processor
  A processor that has left the loop does not come back for a second command. mpwake explore --twice asks for each twice, in
  every order; with --callers 2 it finds a guard that is asked too early.

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

  @DUP-02 @sender
  Scenario: A ResetVector of 0 limits each AP to one wake under version 1 too
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with ResetVector 0
    Then the processor is sent one Wakeup and does not jump

  @DUP-03 @sender
  Scenario: Without reset capability the OS refuses to take a CPU offline
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with a wakeup entry of version 0
    Then taking a processor offline is refused where it could not be woken again

  @DUP-05 @sender
  Scenario: An AP that acknowledged but never came alive is not sent a second Wakeup
    Given an operating system that boots
    When an operating system boots with a processor that acknowledges and never comes alive
    Then it is not sent a second Wakeup

  @DUP-06 @sender
  Scenario: Duplicate processor entries lead to one wake
    Given an operating system that boots
    When an operating system boots with a processor that is listed twice
    Then it is woken once
