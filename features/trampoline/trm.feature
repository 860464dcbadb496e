Feature: Room for the trampoline
  The routine that a woken processor enters has to lie where the firmware's page tables reach: in the mailbox itself or
  below 1 MiB. Until it has loaded tables of its own it keeps to the page that it was entered in.

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

  @TRM-01 @sender
  Scenario: The trampoline lies in one of the two places that ACPI 6.6 describes
    Given an operating system that boots
    When an operating system boots with memory below 1 MiB
    Then each wakeup vector lies in ReservedForOs, or in memory below 1 MiB that the map reports

  @TRM-02 @sender
  Scenario: Linux places the trampoline below 1 MB unless the platform raises the limit
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with memory below 1 MiB
    Then the trampoline is page aligned and ends at or below 1 MiB

  @TRM-03 @sender
  Scenario: Linux in a Hyper-V VTL with TDX places the trampoline below 4 GB
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the trampoline lies below 4 GiB, although there is no memory below 1 MiB

  @TRM-04 @sender
  Scenario: With no memory below the limit Linux boots without the APs and says so
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots without memory below 1 MiB
    Then a line names the limit, the boot goes on, and no processor is woken

  @TRM-05 @sender
  Scenario: The wakeup vector is the 64-bit entry of the trampoline
    Given an operating system that boots
    When an operating system boots with memory below 1 MiB
    Then each wakeup vector is the 64-bit entry of the trampoline

  @TRM-06 @sender
  Scenario: The 4 GB bound of the Linux trampoline comes from its 32-bit transition
    Given an operating system that boots
    When an operating system boots with memory below 1 MiB
    Then 32-bit code of the trampoline, and the page tables that it loads, lie below 4 GiB

  @TRM-08 @sender
  Scenario: All bytes used before the CR3 load lie in the page of the wakeup vector
    Given an operating system that boots
    When an operating system boots with memory below 1 MiB
    Then until it loads CR3 the wake routine touches the page of the wakeup vector only

  @TRM-08 @sender
  Scenario: A processor comes alive where firmware maps no more than it must
    Given an operating system that boots
    When an operating system boots with nothing mapped around the page of the wakeup vector
    Then a processor comes alive where the page of the vector alone is mapped

  @TRM-09 @sender
  Scenario: The boot blob of Asterinas stays inside the page at 0x8000
    Given an operating system that boots
    And an operating system that behaves as Asterinas
    When an operating system boots with memory below 1 MiB
    Then the boot code lies in the page at 0x8000, and its 64-bit entry behind the first byte

  @TRM-10 @sender
  Scenario: Linux reserves the first 1 MB after it has allocated the trampoline
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with memory below 1 MiB
    Then the first MiB is reserved once the trampoline has its place
