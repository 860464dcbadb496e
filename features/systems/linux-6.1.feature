Feature: The bring-up of Linux 6.1
  What was merged after the TDX series waits for the acknowledgement for as long as it takes: in a TD the host may hold
  a processor back, and one that wakes late must not find the mailbox given away. There is no set of woken APIC IDs any
  more (DUP-01, DUP-04). An address that is 0 or not aligned is taken (MADT-26, MADT-27), the mapping of the mailbox is
  not looked at (SND-19), the address stays for the next kernel (KEX-01), without a mailbox INIT and SIPI are sent in a
  TD too (SEL-07, TDX-04), and the wake routine takes two pages (SND-15, TRM-08).

  @SND-02 @SND-07 @TMO-03 @TMO-06 @sender
  Scenario: Linux 6.1 waits without limit, and does not take its command back
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then no command is sent while Command is not 0
    And the operating system does not set Command to 0 itself
    And the operating system is still waiting when nothing happens any more
    And a wake that was never acknowledged does not return success

  @SND-05 @SND-11 @TMO-07 @sender
  Scenario: Linux 6.1 accepts a processor that is slow, and touches nothing until then
    Given a bring-up through the mailbox
    When a processor acknowledges late
    Then ApicId and WakeupVector stay as they are while Command is not 0
    And success is returned after Command has become 0
    And a processor that is slow is still accepted

  @TDX-08 @sender
  Scenario: In a TD Linux 6.1 waits for a processor that the host holds back
    Given an operating system that boots
    When an operating system boots in a TD whose host holds a processor back
    Then the Wakeup of a processor that the host holds back is waited for

  @SND-01 @SND-06 @ORD-01 @sender
  Scenario: Linux 6.1 fills ApicId and WakeupVector and then releases Command
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then each Wakeup finds the wakeup vector and the target's ApicId in their fields
    And Command is stored with 16 bits
    And ApicId and WakeupVector are visible before Command under every memory model

  @MADT-23 @sender
  Scenario: Linux 6.1 takes the address of a version 0 entry
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a wakeup entry of version 0
    Then the mailbox of a version 0 entry is used

  @MADT-24 @sender
  Scenario: Linux 6.1 takes the address of a version 1 entry too
    Given an operating system that boots
    When an operating system boots with a wakeup entry of version 1
    Then a version 1 entry of 24 bytes is not refused

  @MEM-18 @sender
  Scenario: Linux 6.1 maps the mailbox at its first use, and only once
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then the mailbox is mapped once, and only when a processor is to be started

  @DUP-03 @sender
  Scenario: Linux 6.1 refuses to take a processor offline
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with a wakeup entry of version 0
    Then taking a processor offline is refused where it could not be woken again
