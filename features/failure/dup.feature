Feature: One use for each processor
  A processor that has left the loop does not come back for a second command.

  @DUP-07 @receiver
  Scenario: A second Wakeup for a running AP stays pending and does not disturb it
    Given an AP loop that polls the mailbox
    When the operating system sends a second Wakeup to a processor that runs
    Then the second command stays unacknowledged
