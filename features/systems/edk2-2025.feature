Feature: The AP loop of EDK2 in early 2025
  The last release before Test: the page tables are reserved, so that a processor can be woken late, and the call for
  the APIC ID keeps to the rules. Command 2, which ACPI 6.6 calls Test, is a private Sleep that a processor does not
  come back from: held against that edition, RST-10 and RST-15 tell of it. The acknowledgement is eight bytes
  wide and clears Reserved and ApicId too (MEM-06, RCV-09, ORD-10), Command is read as 32 bits (ORD-07), memory above 4
  GiB is not mapped (RCV-13), the host tells the APIC ID (TDX-05), and its wakeup entry comes before the firmware's
  (MADT-30).

  @RCV-21 @KEX-08 @receiver
  Scenario: EDK2 of early 2025 keeps all that its loop needs out of the operating system's memory
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then all that the loop uses is in reserved or ACPI NVS memory
    And all that the processors need to poll again survives the first operating system

  @TDX-06 @receiver
  Scenario: EDK2 of early 2025 asks the host for the APIC ID by the rules
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host refuses the call of one processor
    Then the calls keep to the register rules, and a refused one is noticed

  @TDX-06 @receiver
  Scenario: EDK2 of early 2025 polls where it did, whatever the host writes to the registers that it is shown
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host changes every register that a call shows it and that carries no answer
    Then no processor polls or lands where the host wants it to

  @RCV-23 @receiver
  Scenario: EDK2 of early 2025 shows the host no pointer
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the operating system wakes one processor after the other
    Then no register that the host may read holds a pointer

  @ORD-04 @receiver
  Scenario: EDK2 of early 2025 reads Command again after ApicId
    Given an AP loop that polls the mailbox
    When the operating system fills the fields for one processor and wakes another, over and over
    Then no processor joins the ApicId of one command with the Command of another

  @RCV-20 @receiver
  Scenario: EDK2 of early 2025 knows a private APIC ID for all processors
    Given an AP loop that polls the mailbox
    When the operating system sends Wakeup to the APIC ID 0xFFFFFFFE
    Then whoever sees it first takes it, and lands at its vector
