Feature: The bring-up of Asterinas
  Asterinas counts the processors of the MADT and takes them for 0 to n-1: with other APIC IDs, with entries of type 9,
  or on another boot processor it wakes the wrong ones (MADT-17, MADT-18, MADT-20, MADT-29, SND-09). In a TD it uses the
  mailbox through the crate acpi, which writes Noop first (SND-05, SND-07, DUP-01), orders its stores by the compiler
  alone (ORD-01, ORD-06), looks 1000 times, and then fails: TMO-03, TMO-04, TMO-07 and TDX-08 tell of what a late
  processor does then. A failed start ends the boot, one for which there is no mailbox too (SEL-07, MADT-28), a second
  wake is sent (DUP-04), and an address that is not aligned is taken (MADT-27). Elsewhere it sends INIT, a de-assert and
  two SIPI to all.

  @MADT-17 @sender
  Scenario: Asterinas starts as many processors as the MADT has entries of type 0
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots with three processors to start
    Then four entries of type 0 make APIC IDs 1 to 3, each woken once, in this order

  @TRM-05 @TRM-09 @sender
  Scenario: The boot code of Asterinas is at 0x8000, and is entered from the mailbox at its 64-bit entry
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots with memory below 1 MiB
    Then each wakeup vector is the 64-bit entry of the trampoline
    And the boot code lies in the page at 0x8000, and its 64-bit entry behind the first byte

  @TDX-04 @IPI-01 @sender
  Scenario: In a TD Asterinas starts processors through the mailbox only
    Given an operating system that boots
    When an operating system boots in a TD with a mailbox
    Then processors are started through the mailbox, and by nothing else
    And INIT and SIPI are sent outside a TD only

  @TMO-08 @sender
  Scenario: Asterinas gives up after 1000 tries and fails
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots in a TD whose host holds a processor back
    Then after 1000 loads of Command the start has failed, which is a panic

  @IPI-02 @IPI-04 @IPI-06 @IPI-07 @IPI-08 @sender
  Scenario: Outside a TD Asterinas sends INIT, de-assert, SIPI and SIPI
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then the first IPI is INIT to all others, level-triggered
    And the second IPI de-asserts INIT, to all including itself
    And the third IPI is SIPI with vector 0x08 to all others
    And an equal SIPI follows in every case, with 20,000,000 cycles after each
    And the vector of each SIPI is the number of the page in which processors start

  @IPI-03 @IPI-05 @sender
  Scenario: Asterinas waits by the TSC after INIT and after the de-assert
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then 100,000,000 TSC cycles or more pass after INIT
    And 20,000,000 TSC cycles or more pass after the de-assert

  @IPI-12 @sender
  Scenario: The waits of Asterinas are safe where the TSC wraps
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox while the TSC wraps
    Then each wait is as long as without the wrap

  @IPI-10 @sender
  Scenario: Asterinas writes the ICR of an xAPIC high word first
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then the ESR is cleared, the high word written, then the low word, and the status polled

  @IPI-09 @IPI-11 @sender
  Scenario: Asterinas writes the ICR of an x2APIC at once
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, with its APICs in x2APIC mode
    Then every field of each ICR stands at its place, in x2APIC and in xAPIC mode
    And the ESR is cleared, and the ICR written by one access of 64 bits

  @IPI-14 @sender
  Scenario: Processors of Asterinas meet in one place, from SIPI and from the mailbox
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then processors enter at offset 0 after SIPI, behind it from the mailbox, and meet in one place
