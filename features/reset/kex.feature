Feature: Firmware's memory after the first operating system
  What the processors need to poll again lies where no operating system writes, so that the next one finds them.

  @KEX-08 @receiver
  Scenario: Mailbox, AP loop, tables, GDT and stack survive the first OS
    Given an AP loop that polls the mailbox
    When the operating system wakes one processor after the other
    Then all that the processors need to poll again survives the first operating system
