Feature: The AP loop of Oak's stage0
  Command and ApicId are as wide as they should be, and the acknowledgement touches nothing else. The number of the
  virtual processor, which the TDX module tells, stands in for the APIC ID: the host cannot lie about it, and sparse
  APIC IDs do not work (RCV-02). ApicId is compared before Command (ORD-04), the mailbox is in memory that the operating
  system gets (RCV-21, KEX-08), and little of the memory is mapped (RCV-13).

  @MEM-06 @RCV-09 @ORD-07 @ORD-10 @receiver
  Scenario: Oak's stage0 acknowledges by two bytes and writes nothing else
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then firmware writes nothing in the OS section but Command
    And the acknowledgement changes Command and nothing else
    And each access is that of one whole field
    And the acknowledgement does not reach into ApicId

  @MEM-08 @receiver
  Scenario: Oak's stage0 takes Command for 16 bits
    Given an AP loop that polls the mailbox
    When the operating system sends the reserved commands 0x100 and 0x101
    Then neither is taken for the command 1

  @MEM-11 @RCV-05 @receiver
  Scenario: Oak's stage0 lands at all 64 bits of the vector
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor with a vector above 4 GiB
    Then all eight bytes of WakeupVector are read, and decide
    And it lands at all 64 bits of the vector

  @RCV-07 @ORD-05 @ORD-09 @receiver
  Scenario: Oak's stage0 has read the vector when it acknowledges
    Given an AP loop that polls the mailbox
    When the operating system overwrites the vector as soon as Command is 0
    Then it still lands at the vector of its command
    And the vector was loaded before the acknowledgement became visible
    And nothing of the OS section is read between the acknowledgement and the jump

  @TDX-05 @receiver
  Scenario: Oak's stage0 does not ask the host who a processor is
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host tells processors the APIC IDs of others
    Then each takes the commands for its true APIC ID only

  @TDX-03 @receiver
  Scenario: Oak's stage0 uses no page that the host has written
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host writes a Wakeup into the page before the guest starts
    Then no processor acts on it, and the page is private

  @RCV-20 @receiver
  Scenario: Oak's stage0 knows no private APIC ID
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then no processor takes it
