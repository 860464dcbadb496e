Feature: The AP loop of EDK2 in 2022
  OvmfPkg's loop after its acknowledgement was put right: it had cleared WakeupVector and left Command. It knows a
  private APIC ID for all processors. The acknowledgement is eight bytes wide and clears Reserved and ApicId too
  (MEM-06, RCV-09, ORD-10), Command is read as 32 bits (ORD-07), memory above 4 GiB is not mapped (RCV-13), the host
  tells the APIC ID (TDX-05), and its wakeup entry comes before the firmware's (MADT-30). The call for the APIC ID
  breaks the register rules and shows the mailbox to the host (TDX-06, RCV-23), and the page tables are in memory that
  the operating system gets (RCV-21, KEX-08).

  @RCV-01 @RCV-06 @RCV-08 @RCV-17 @receiver
  Scenario: EDK2 of 2022 acknowledges in Command, and the next processor can be woken
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then every processor lands
    And it acknowledges by setting Command to 0
    And the acknowledgement comes from firmware, before the vector is entered
    And the others go on using the mailbox

  @RCV-07 @ORD-05 @ORD-09 @receiver
  Scenario: EDK2 of 2022 has read the vector when it acknowledges
    Given an AP loop that polls the mailbox
    When the operating system overwrites the vector as soon as Command is 0
    Then it still lands at the vector of its command
    And the vector was loaded before the acknowledgement became visible
    And nothing of the OS section is read between the acknowledgement and the jump

  @MEM-11 @RCV-05 @receiver
  Scenario: EDK2 of 2022 lands at all 64 bits of the vector
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor with a vector above 4 GiB
    Then all eight bytes of WakeupVector are read, and decide
    And it lands at all 64 bits of the vector

  @ORD-04 @receiver
  Scenario: EDK2 of 2022 reads Command again after ApicId
    Given an AP loop that polls the mailbox
    When the operating system fills the fields for one processor and wakes another, over and over
    Then no processor joins the ApicId of one command with the Command of another

  @RCV-20 @receiver
  Scenario: EDK2 of 2022 knows a private APIC ID for all processors
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then whoever sees it first takes it, and lands at its vector
