Feature: The AP loop of EDK2 since mid 2025
  Test is answered and processors come back through the reset vector. The code there uses a stack of the driver, which
  the operating system gets (RST-17, RST-18, KEX-08). The acknowledgement is eight bytes wide and clears Reserved and
  ApicId too (MEM-06, RCV-09, ORD-10), Command is read as 32 bits (ORD-07), memory above 4 GiB is not mapped (RCV-13),
  the host tells the APIC ID (TDX-05), and its wakeup entry comes before the firmware's (MADT-30).

  @RST-10 @receiver
  Scenario: EDK2 since mid 2025 answers Test and stays
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test with a vector to a processor that was never woken
    Then the addressed processor answers by setting Command to 0 and does not jump

  @RST-15 @receiver
  Scenario: EDK2 since mid 2025 answers Test before the first wake too
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system tests a processor and then wakes it
    Then Test is answered before the first wake, and the wake is taken after it

  @RST-11 @receiver
  Scenario: EDK2 since mid 2025 leaves the Test of another alone
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test to an APIC ID that nobody has
    Then no processor answers

  @RST-13 @receiver
  Scenario: A processor of EDK2 since mid 2025 comes back through the reset vector again and again
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system resets a processor, tests it, and wakes it again, three times
    Then each new Wakeup is taken with its new vector

  @RST-08 @receiver
  Scenario: In EDK2 since mid 2025 the reset of one processor does not disturb the others
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system resets one processor while another runs and a third is parked
    Then the others go on as if nothing had happened

  @RST-19 @receiver
  Scenario: The code at the reset vector of EDK2 copes with CR4 as it comes
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system sets bits of CR4 before it resets a processor
    Then it answers Test whatever was set

  @RCV-20 @receiver
  Scenario: EDK2 since mid 2025 knows a private APIC ID for all processors
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then whoever sees it first takes it, and lands at its vector
