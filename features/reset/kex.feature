Feature: From one operating system to the next
  What the processors need to poll again lies where no operating system writes, so that the next one finds them. The
  first one gives them back before it leaves, or makes sure that nobody waits for them.

  @KEX-08 @receiver
  Scenario: Mailbox, AP loop, tables, GDT and stack survive the first OS
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then all that the processors need to poll again survives the first operating system

  @KEX-01 @sender
  Scenario: Linux zeroes MailBoxAddress in memory when the mailbox cannot be reset
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel
    Then MailBoxAddress in memory is 0 before the next kernel starts

  @KEX-01 @sender
  Scenario: Linux zeroes MailBoxAddress in memory when it could not set up the reset
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 1 mailbox, and the set-up for resets fails
    Then MailBoxAddress in memory is 0, because no processor can be given back

  @KEX-02 @sender
  Scenario: The first kernel keeps its own copy of the mailbox address
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel
    Then the held-back processor is woken after the address was erased

  @KEX-03 @sender
  Scenario: A kernel that finds address 0 warns once and boots with one CPU
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel
    Then the next kernel warns once, fails each start, and runs on one processor

  @KEX-04 @sender
  Scenario: The zeroed address leaves the MADT checksum wrong in memory
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel
    Then the table differs from firmware's in the address alone, and its sum shows that

  @KEX-05 @sender
  Scenario: Before a new OS starts each AP is reset and verified by Test
    Given an operating system that boots
    When an operating system boots with a version 1 mailbox, and starts a next kernel
    Then each processor has jumped to ResetVector and answered Test before the next kernel starts

  @KEX-06 @sender
  Scenario: In the DeviceTree form a used mailbox is not offered to a second kernel
    Given an operating system that boots
    When an operating system boots with a mailbox in the DeviceTree, and starts a next kernel
    Then no Wakeup goes to processors that have left the mailbox of the DeviceTree

  @KEX-07 @sender
  Scenario: The mailbox is idle when the next OS takes over
    Given an operating system that boots
    When an operating system boots with a version 1 mailbox, takes a processor offline that does not answer Test, and starts a next kernel
    Then Command is 0 whenever a next kernel takes over

  @KEX-09 @sender
  Scenario: A crash kernel may run with one CPU
    Given an operating system that boots
    When an operating system boots with a version 1 mailbox, and crashes
    Then the crash kernel comes up, with one processor or with more
