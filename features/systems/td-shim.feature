Feature: The AP loop of td-shim
  td-shim clears Command since its loop was put right, and maps all memory. It knows the private APIC ID of EDK2. The
  vector is read as 32 bits (RCV-05, MEM-11), ApicId is compared before Command (ORD-04), Command is read as 32 bits
  (ORD-07), and the acknowledgement is eight bytes wide (RCV-09, MEM-06, ORD-10). The host tells the APIC ID, in a call
  that shows it the mailbox (TDX-05, TDX-06, RCV-23), and its wakeup entry comes before the firmware's (MADT-30).

  @RCV-07 @ORD-05 @ORD-09 @receiver
  Scenario: td-shim acknowledges only after it has read the vector
    Given an AP loop that polls the mailbox
    When the operating system overwrites the vector as soon as Command is 0
    Then it still lands at the vector of its command
    And the vector was loaded before the acknowledgement became visible
    And nothing of the OS section is read between the acknowledgement and the jump

  @RCV-01 @RCV-06 @RCV-08 @RCV-17 @receiver
  Scenario: td-shim clears Command, and the next processor can be woken
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then every processor lands
    And it acknowledges by setting Command to 0
    And the acknowledgement comes from firmware, before the vector is entered
    And the others go on using the mailbox

  @RCV-13 @receiver
  Scenario: td-shim maps whatever page the vector is in
    Given an AP loop that polls the mailbox
    When the operating system wakes processors in the mailbox page, below 1 MiB and above 4 GiB
    Then paging is on, and the vector's page is mapped to itself and executable

  @RCV-10 @receiver
  Scenario: td-shim ignores commands that it does not know
    Given an AP loop that polls the mailbox
    When the operating system sends the reserved commands 3 and 0xFFFF
    Then it does not react

  @RCV-20 @receiver
  Scenario: td-shim knows a private APIC ID for all processors
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then whoever sees it first takes it, and lands at its vector
