Feature: Linux hides a used mailbox from the next kernel
  A version 0 mailbox serves each processor once. The kexec series of December 2023 takes it away from the kernel that
  comes after: MailBoxAddress in the MADT becomes 0, while the first kernel goes on with the address that it has read.
  There is no ResetVector in it yet. As in Linux 6.1 a second wake is not refused (DUP-01, DUP-04), an address that is
  not aligned is taken (MADT-27), the mapping is not looked at (SND-19), without a mailbox INIT and SIPI are sent in a
  TD too (SEL-07, TDX-04), and the wake routine takes two pages (SND-15, TRM-08).

  @KEX-01 @KEX-04 @sender
  Scenario: The first kernel writes 0 over MailBoxAddress
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel
    Then MailBoxAddress in memory is 0 before the next kernel starts
    And the table differs from firmware's in the address alone, and its sum shows that

  @KEX-02 @sender
  Scenario: The first kernel wakes a held-back processor by the address that it has kept
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel
    Then the held-back processor is woken after the address was erased

  @KEX-03 @sender
  Scenario: The second kernel finds no mailbox, says so, and runs on one processor
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel
    Then the next kernel warns once, fails each start, and runs on one processor

  @MADT-26 @sender
  Scenario: A kernel of the series that finds address 0 does not touch page 0
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with MailBoxAddress 0
    Then each start is refused as not supported, and physical page 0 is not touched

  @KEX-09 @sender
  Scenario: A crash kernel of the series comes up
    Given an operating system that boots
    When an operating system boots with a version 1 mailbox, and crashes
    Then the crash kernel comes up, with one processor or with more

  @DUP-03 @sender
  Scenario: The series refuses to take a processor offline
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with a wakeup entry of version 0
    Then taking a processor offline is refused where it could not be woken again

  @MEM-18 @sender
  Scenario: The series maps the mailbox at its first use, and only once
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then the mailbox is mapped once, and only when a processor is to be started
