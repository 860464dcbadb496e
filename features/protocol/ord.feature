Feature: The order of accesses
  What belongs to one command is visible before the command, and what a processor needs it has read before it says that it
  has accepted. Where an order is missing, few schedules show it: random ones seldom come to what goes wrong in the mutants
  ord-plain-store, ord-ack-before-load, ord-shared-word and ord-command-once. mpwake explore goes through all schedules.

  @ORD-05 @receiver
  Scenario: The load of the vector happens before the acknowledging store
    Given an AP loop that polls the mailbox
    When the operating system overwrites the vector as soon as Command is 0
    Then the vector was loaded before the acknowledgement became visible

  @ORD-09 @receiver
  Scenario: The AP reads nothing in the OS section between acknowledgement and jump
    Given an AP loop that polls the mailbox
    When the operating system overwrites the vector as soon as Command is 0
    Then nothing of the OS section is read between the acknowledgement and the jump

  @ORD-10 @receiver
  Scenario: The acknowledging store does not overlap ApicId
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then the acknowledgement does not reach into ApicId

  @ORD-01 @sender
  Scenario: ApicId and WakeupVector are visible before Command
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then ApicId and WakeupVector are visible before Command under every memory model

  @ORD-06 @sender
  Scenario: Stores for the next command are not visible before the OS has observed 0
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then nothing of the next command is stored before Command was seen to be 0

  @ORD-04 @receiver
  Scenario: The AP decides with values that belong to the same command
    Given an AP loop that polls the mailbox
    When the operating system fills the fields for one processor and wakes another, over and over
    Then no processor joins the ApicId of one command with the Command of another

  @ORD-04 @receiver
  Scenario: An AP that is held back between two fields does not join those of two commands
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the host holds processors back after each load of Command, while one is tested and others are woken
    Then no processor takes the fields of a Test for those of a Wakeup

  @ORD-07 @receiver
  Scenario: Mailbox fields are accessed with naturally aligned, undivided accesses
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then each access is that of one whole field

  @ORD-08 @receiver @sender
  Scenario: A fence that is not there is held against nobody
    When no implementation is driven

  @ORD-03 @sender
  Scenario: OS data that the AP needs is visible before Command
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then what the wake routine reads is written before Command

  @ORD-07 @sender
  Scenario: The operating system accesses the fields whole, with naturally aligned accesses
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then each access of the operating system is that of one whole field

  @ORD-02 @sender
  Scenario: Command is polled with a fresh access each time
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then the operating system notices an acknowledgement that comes while it waits
