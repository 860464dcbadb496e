Feature: The AP loop
  A processor that waits on the mailbox compares Command and ApicId, keeps the vector, acknowledges with Command 0 and
  jumps. It leaves everything alone that is not addressed to it. The races of rcv-ack-before-load and rcv-vector-in-shared-word
  are seldom in random schedules; mpwake explore always finds them.

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

  @RCV-03 @receiver
  Scenario: An AP leaves the command alone that another has not taken for a long time
    Given an AP loop that polls the mailbox
    When the host holds a processor back at its call, and between its load of the vector and its acknowledgement
    Then the others leave it its command until it runs again

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

  @RCV-07 @receiver
  Scenario: An AP that is held back after its acknowledgement lands at its own vector
    Given an AP loop that polls the mailbox
    When the host holds processors back after their acknowledgements, while others are woken
    Then each lands at the vector of its own command, however late

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

  @RCV-11 @receiver
  Scenario: At the vector interrupts are disabled
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then interrupts are disabled at the vector

  @RCV-12 @receiver
  Scenario: At the vector the AP is in long mode and runs 64-bit code
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then the processor runs 64-bit code in long mode at the vector

  @RCV-13 @receiver
  Scenario: At the vector paging is on and the page of the vector is identity-mapped
    Given an AP loop that polls the mailbox
    When the operating system wakes processors in the mailbox page, below 1 MiB and above 4 GiB
    Then paging is on, and the vector's page is mapped to itself and executable

  @RCV-14 @receiver
  Scenario: At the vector the selectors are flat
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then the selectors are flat at the vector

  @RCV-15 @receiver
  Scenario: The identity map covers the mailbox page and reported memory below 1 MB
    Given an AP loop that polls the mailbox
    When the operating system wakes processors at the ends of the mailbox's OS section and of the memory below 1 MiB
    Then each vector's page is mapped

  @RCV-19 @receiver
  Scenario: The effect of a Reserved value other than 0 on the AP is known
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup with 1 in Reserved
    Then it takes the command as it is, or leaves it as it is

  @RCV-20 @receiver
  Scenario: ID 0xFFFFFFFE wakes all APs only as a private extension
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then whoever takes it lands at its vector, and no processor is lost by it

  @RCV-21 @receiver
  Scenario: The AP loop is self-contained in reserved or NVS memory
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then all that the loop uses is in reserved or ACPI NVS memory

  @RCV-22 @receiver
  Scenario: Polling needs no cooperation of the VMM after entry
    Given an AP loop that polls the mailbox
    When the host delivers no events while the operating system wakes processors
    Then they land all the same

  @RCV-23 @receiver
  Scenario: No secret or pointer leaks to the VMM when the AP fetches its ID by TDVMCALL
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the operating system wakes one processor after the other
    Then no register that the host may read holds a pointer
