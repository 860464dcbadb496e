Feature: When no answer comes
  ACPI gives no time in which a processor must answer and no way to take a command back. What an operating system does then is
  its own choice, and some choices let a late processor run into memory that is in use again. Random schedules do not keep a
  processor back for as long as tmo-gives-up, tmo-goes-on or snd-cancels wait; mpwake explore lets each give up at any look.

  @TMO-01 @receiver @sender
  Scenario: A slow acknowledgement alone is held against nobody
    When no implementation is driven

  @TMO-02 @receiver @sender
  Scenario: A command that was sent cannot be cancelled
    When no implementation is driven

  @TMO-03 @sender
  Scenario: Linux waits without limit for the acknowledgement of a Wakeup
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then the operating system is still waiting when nothing happens any more

  @TMO-04 @sender
  Scenario: An OS that gives up on a wake quarantines the mailbox and the trampoline
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then after a time-out it stores nothing to the mailbox any more

  @TMO-06 @sender
  Scenario: A wait loop tells an acknowledgement from an exhausted counter
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then a wake that was never acknowledged does not return success

  @TMO-07 @sender
  Scenario: A time-out is measured in time and not in loop iterations
    Given a bring-up through the mailbox
    When a processor acknowledges late
    Then a processor that is slow is still accepted

  @TMO-08 @sender
  Scenario: A failed wake is reported for that CPU and the boot goes on
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then it reports the failure and goes on with the next processor

  @TMO-05 @sender
  Scenario: Linux gives up on a Test after about one second and says so
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system takes two processors offline, and the first never answers Test
    Then the wait for Test ends within a million polls, an error is told, and Command stays 2

  @TMO-09 @sender
  Scenario: The reset environment is kept after a Test that was not answered
    Given an operating system that boots
    When an operating system takes two processors offline, and the first never answers Test
    Then the reset environment of the processor that did not answer is not freed
