Feature: Firmware that keeps to ACPI 6.6
  A version 1 structure with a reset vector: a processor that comes back there polls again, and answers Test.

  @MADT-03 @MADT-10 @tables
  Scenario: The version 1 structure of ACPI 6.6 firmware has 24 bytes and a reset vector
    Given a wakeup structure with MailBoxVersion 1
    And a wakeup structure long enough to hold a ResetVector
    When the MADT is walked entry by entry
    Then the Length of the version 1 structure is 24
    And ResetVector, eight bytes at offset 16, is 0 or a physical address

  @RST-10 @receiver
  Scenario: The loop of ACPI 6.6 firmware answers Test and stays
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test with a vector to a processor that was never woken
    Then the addressed processor answers by setting Command to 0 and does not jump

  @RST-15 @receiver
  Scenario: The loop of ACPI 6.6 firmware answers Test before the first wake too
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system tests a processor and then wakes it
    Then Test is answered before the first wake, and the wake is taken after it

  @RST-11 @receiver
  Scenario: The loop of ACPI 6.6 firmware leaves the Test of another alone
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test to an APIC ID that nobody has
    Then no processor answers

  @RST-13 @receiver
  Scenario: A processor of ACPI 6.6 firmware comes back through the reset vector again and again
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system resets a processor, tests it, and wakes it again, three times
    Then each new Wakeup is taken with its new vector

  @RST-08 @receiver
  Scenario: In ACPI 6.6 firmware the reset of one processor does not disturb the others
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system resets one processor while another runs and a third is parked
    Then the others go on as if nothing had happened

  @RST-17 @RST-18 @KEX-08 @receiver
  Scenario: The code at the reset vector of ACPI 6.6 firmware needs nothing that an operating system gets
    Given an AP loop that polls the mailbox
    And a reset vector
    When the operating system wakes one processor after the other
    Then the code at the reset vector first needs no memory but the vector's own page
    And nothing that the reset code uses is in memory that the operating system gets
    And all that the processors need to poll again survives the first operating system

  @RST-19 @receiver
  Scenario: The code at the reset vector of ACPI 6.6 firmware copes with CR4 as it comes
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system sets bits of CR4 before it resets a processor
    Then it answers Test whatever was set

  @RCV-20 @receiver
  Scenario: The loop of ACPI 6.6 firmware knows no private APIC ID
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then no processor takes it
