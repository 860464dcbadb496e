Feature: Room for the trampoline
  The routine that a woken processor enters has to lie where the firmware's page tables reach: in the mailbox itself or
  below 1 MiB.

  @TRM-10 @tables
  Scenario: Memory below 1 MiB has a page for the trampoline
    Given a published mailbox
    And a platform other than OpenHCL
    When the memory below 1 MiB is looked up in the memory map
    Then a whole usable page is there that is not the mailbox

  @TRM-07 @receiver
  Scenario: The firmware map makes the trampoline executable, and writable if the OS writes there
    Given an AP loop that polls the mailbox
    When the operating system wakes processors in the mailbox page, below 1 MiB and above 4 GiB
    Then the routine may be executed there, and written to
