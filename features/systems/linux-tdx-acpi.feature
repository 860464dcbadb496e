Feature: The bring-up of the Linux TDX series of 2022
  The seventh version of the series took the mailbox from the MADT, kept a set of the APIC IDs that it had woken, and
  gave up after 255 looks at Command. ACPI knows no way to give up: a processor that comes late is told of by TMO-03,
  TMO-04, TMO-07 and TDX-08, the Command that is taken back by SND-05 and SND-07. It also takes an address that is 0 or
  not aligned (MADT-26, MADT-27), does not look whether the mailbox could be mapped (SND-19), leaves the address to the
  next kernel (KEX-01), falls back to INIT and SIPI in a TD (SEL-07, TDX-04), and has its wake routine in two pages
  (SND-15, TRM-08).

  @MADT-21 @sender
  Scenario: The TDX series takes no mailbox from a wakeup entry of 12 bytes
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of 12 bytes at the end of the MADT
    Then no mailbox is adopted from an entry that is too short

  @MADT-21 @sender
  Scenario: The TDX series takes no mailbox from a wakeup entry that ends behind the MADT
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of 16 bytes of which the MADT holds 12
    Then no mailbox is adopted from an entry that the table does not hold whole

  @MADT-23 @sender
  Scenario: The TDX series takes the address of a version 0 entry
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of version 0
    Then the mailbox of a version 0 entry is used

  @SEL-04 @sender
  Scenario: The TDX series built without SMP uses no mailbox
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system that was built without SMP boots with a wakeup entry of version 1
    Then the mailbox is used by a build that has what it needs, and by no other

  @SEL-05 @sender
  Scenario: With a mailbox the TDX series sends no INIT and no SIPI
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of version 1
    Then no INIT and no SIPI is sent beside the mailbox

  @MEM-18 @sender
  Scenario: The TDX series maps the mailbox at its first use, and only once
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then the mailbox is mapped once, and only when a processor is to be started

  @SND-01 @SND-06 @ORD-01 @sender
  Scenario: The TDX series fills ApicId and WakeupVector and then releases Command
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then each Wakeup finds the wakeup vector and the target's ApicId in their fields
    And Command is stored with 16 bits
    And ApicId and WakeupVector are visible before Command under every memory model

  @TMO-06 @TMO-08 @sender
  Scenario: The TDX series gives up after 255 tries, with one warning and an I/O error
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then a wake that was never acknowledged does not return success
    And after 255 loads of Command there is one warning, Command is set to 0, and -5 is returned

  @DUP-01 @DUP-04 @sender
  Scenario: The TDX series refuses to wake an APIC ID a second time
    Given a bring-up through the mailbox
    And an edition whose mailbox has version 0
    When the operating system is asked to wake a processor twice
    Then at most one Wakeup is sent to it
    And the second wake is refused with an invalid-argument error before any store

  @SEL-12 @sender
  Scenario: The TDX series wakes a processor that maxcpus= held back
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with maxcpus=1 and is asked to start a processor later
    Then a processor that maxcpus= held back is woken when it is asked for
