Feature: Starting processors without a mailbox
  Where firmware publishes no mailbox, and outside a TD, an operating system starts processors by INIT and Start-Up IPIs. The
  sequences of Asterinas and Gramine are two forms of it; each is held to its own.

  @IPI-01 @sender
  Scenario: INIT-SIPI-SIPI is used only outside a TD
    Given an operating system that boots
    When an operating system boots in a TD with a mailbox
    Then INIT and SIPI are sent outside a TD only

  @IPI-02 @sender
  Scenario: Asterinas begins with a level-triggered INIT to all but itself, ICR 0x000CC500
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then the first IPI is INIT to all others, level-triggered

  @IPI-03 @sender
  Scenario: Asterinas waits 100,000,000 TSC cycles after INIT
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then 100,000,000 TSC cycles or more pass after INIT

  @IPI-04 @sender
  Scenario: Asterinas then de-asserts INIT to all including itself, ICR 0x00088500
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then the second IPI de-asserts INIT, to all including itself

  @IPI-05 @sender
  Scenario: Asterinas waits 20,000,000 TSC cycles after the de-assert
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then 20,000,000 TSC cycles or more pass after the de-assert

  @IPI-06 @sender
  Scenario: Asterinas sends SIPI with vector 0x08 to all but itself, ICR 0x000C4608
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then the third IPI is SIPI with vector 0x08 to all others

  @IPI-07 @sender
  Scenario: Asterinas sends a second, identical SIPI in every case
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then an equal SIPI follows in every case, with 20,000,000 cycles after each

  @IPI-08 @sender
  Scenario: The SIPI vector is the start address shifted right by 12
    Given an operating system that boots
    When an operating system boots without a mailbox, outside a TD
    Then the vector of each SIPI is the number of the page in which processors start

  @IPI-09 @sender
  Scenario: The ICR fields are encoded at their bit positions
    Given an operating system that boots
    When an operating system boots without a mailbox, with its APICs in x2APIC mode
    Then every field of each ICR stands at its place, in x2APIC and in xAPIC mode

  @IPI-10 @sender
  Scenario: In xAPIC mode the ICR high word is written before the low word
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then the ESR is cleared, the high word written, then the low word, and the status polled

  @IPI-11 @sender
  Scenario: In x2APIC mode the ICR is written by one 64-bit MSR write
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, with its APICs in x2APIC mode
    Then the ESR is cleared, and the ICR written by one access of 64 bits

  @IPI-12 @sender
  Scenario: The wait by TSC is safe when the counter wraps
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox while the TSC wraps
    Then each wait is as long as without the wrap

  @IPI-13 @sender
  Scenario: Gramine sends the second SIPI only if CPUs are still missing
    Given an operating system that boots
    And an operating system that behaves as Gramine
    When an operating system boots without a mailbox, and a processor does not come alive
    Then a second SIPI is sent if a processor has not been counted, and only then

  @IPI-14 @sender
  Scenario: SIPI and mailbox use different entry points that reach the same 64-bit code
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots without a mailbox, outside a TD
    Then processors enter at offset 0 after SIPI, behind it from the mailbox, and meet in one place

  @IPI-15 @sender
  Scenario: The start of an AP is confirmed by a flag that the AP sets
    Given an operating system that boots
    When an operating system boots without a mailbox, and a processor does not come alive
    Then a processor counts as started once it says so itself
