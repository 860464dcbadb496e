Feature: The AP loop of OpenHCL
  The loop in the TDX reset page compares APIC IDs and Command since it was put right: it had compared numbers of
  virtual processors, and had not compared Command at all. It clears Command before it loads the vector (RCV-07, ORD-05,
  ORD-09), and passes the vector on through a word of the OS section that all processors share (MEM-04, MEM-06, MEM-12).
  ApicId is compared before Command (ORD-04), Command is read as 32 bits (ORD-07), and the host tells the APIC ID
  (TDX-05). Behind a DeviceTree it is held to all this too (DT-24).

  @RCV-09 @ORD-10 @receiver
  Scenario: OpenHCL acknowledges by two bytes that leave ApicId alone
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor in a poisoned page
    Then the acknowledgement changes Command and nothing else
    And the acknowledgement does not reach into ApicId

  @RCV-02 @receiver
  Scenario: OpenHCL compares APIC IDs, and no numbers of virtual processors
    Given an AP loop that polls the mailbox
    When the operating system wakes them in another order, with sparse APIC IDs
    Then each processor takes the command that carries its own APIC ID

  @RCV-03 @receiver
  Scenario: OpenHCL leaves the commands of others alone
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor of three
    Then the other processors neither jump nor write

  @RCV-04 @receiver
  Scenario: OpenHCL compares Command
    Given an AP loop that polls the mailbox
    When the operating system fills ApicId and WakeupVector and leaves Command 0
    Then no processor acts

  @RCV-10 @receiver
  Scenario: OpenHCL ignores commands that it does not know
    Given an AP loop that polls the mailbox
    When the operating system sends the reserved commands 3 and 0xFFFF
    Then it does not react

  @MEM-11 @RCV-05 @receiver
  Scenario: OpenHCL lands at all 64 bits of the vector
    Given an AP loop that polls the mailbox
    When the operating system wakes a processor with a vector above 4 GiB
    Then all eight bytes of WakeupVector are read, and decide
    And it lands at all 64 bits of the vector

  @TRM-07 @receiver
  Scenario: OpenHCL's trampoline may be written to although it is mapped read-only
    Given an AP loop that polls the mailbox
    When the operating system wakes processors in the mailbox page, below 1 MiB and above 4 GiB
    Then the routine may be executed there, and written to

  @RCV-20 @receiver
  Scenario: OpenHCL knows no private APIC ID
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then no processor takes it
