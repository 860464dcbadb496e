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

  @RST-08 @receiver
  Scenario: The reset of one AP does not disturb the others
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system resets one processor while another runs and a third is parked
    Then the others go on as if nothing had happened

  @RST-17 @receiver
  Scenario: Reset code needs no more than its one identity-mapped page at first
    Given an AP loop that polls the mailbox
    And a reset vector
    When the operating system wakes one processor after the other
    Then the code at the reset vector first needs no memory but the vector's own page

  @RST-18 @receiver
  Scenario: Stack, GDT and page tables of the reset code lie in NVS or reserved memory
    Given an AP loop that polls the mailbox
    And a reset vector
    When the operating system wakes one processor after the other
    Then nothing that the reset code uses is in memory that the operating system gets

  @RST-19 @receiver
  Scenario: Reset code copes with the CR0, CR4 and EFER values that the OS has chosen
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system sets bits of CR4 before it resets a processor
    Then it answers Test whatever was set
