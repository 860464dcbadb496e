Feature: The AP loop
  A processor that waits on the mailbox compares Command and ApicId, keeps the vector, acknowledges with Command 0 and
  jumps. It leaves everything alone that is not addressed to it.

  @RCV-01 @receiver
  Scenario: During boot every AP is put into a state where it checks the mailbox
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then every processor lands

  @RCV-02 @receiver
  Scenario: The AP compares ApicId with its own local APIC ID
    Given an AP loop that polls the mailbox
    When the operating system wakes them in another order, with sparse APIC IDs
    Then each processor takes the command that carries its own APIC ID

  @RCV-03 @receiver
  Scenario: An AP ignores a command for another ID
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor of three
    Then the other processors neither jump nor write

  @RCV-04 @receiver
  Scenario: Command 0 never causes an action
    Given an AP loop that polls the mailbox
    When the operating system fills ApicId and WakeupVector and leaves Command 0
    Then no processor acts

  @RCV-05 @receiver
  Scenario: Command 1 with its own ID makes the AP jump to the 64-bit WakeupVector
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor with a vector above 4 GiB
    Then it lands at all 64 bits of the vector

  @RCV-06 @receiver
  Scenario: The AP acknowledges by setting Command to 0
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then it acknowledges by setting Command to 0

  @RCV-07 @receiver
  Scenario: The AP caches what it still needs before it clears Command
    Given an AP loop that polls the mailbox
    When the operating system overwrites the vector as soon as Command is 0
    Then it still lands at the vector of its command

  @RCV-08 @receiver
  Scenario: The acknowledgement precedes the jump to the vector
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then the acknowledgement comes from firmware, before the vector is entered

  @RCV-09 @receiver
  Scenario: The acknowledgement modifies only Command
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then the acknowledgement changes Command and nothing else

  @RCV-10 @receiver
  Scenario: The AP ignores reserved commands and does not acknowledge them
    Given an AP loop that polls the mailbox
    When the operating system sends the reserved commands 3 and 0xFFFF
    Then it does not react

  @RCV-16 @receiver
  Scenario: After it has acted on Wakeup the AP no longer looks at the mailbox
    Given an AP loop that polls the mailbox
    When the operating system sends a second Wakeup to a processor that runs
    Then it no longer looks at the mailbox

  @RCV-17 @receiver
  Scenario: The other APs keep using the mailbox for later commands
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then the others go on using the mailbox

  @RCV-18 @receiver
  Scenario: A stale ApicId with a new Command is not taken by the old target
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system tests one processor and wakes the next, over and over
    Then no processor takes a command with the ApicId of another
