Feature: The mailbox in a guest that does not trust its host
  Neither the page nor a processor's APIC ID is left to the host, and a call to it tells it no more than it must know. The
  operating system keeps the page private, starts processors by no other way, and waits as long as the host likes.

  @TDX-03 @receiver
  Scenario: Mailbox and polling words are private and initialised by measured code
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host writes a Wakeup into the page before the guest starts
    Then no processor acts on it, and the page is private

  @TDX-05 @receiver
  Scenario: An AP takes its own APIC ID from a trustworthy source
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host tells processors the APIC IDs of others
    Then each takes the commands for its true APIC ID only

  @TDX-06 @receiver
  Scenario: AP code keeps to the TDVMCALL register conventions
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host refuses the call of one processor
    Then the calls keep to the register rules, and a refused one is noticed

  @TDX-06 @receiver
  Scenario: A host that changes what a call shows it moves no AP
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the host changes every register that a call shows it and that carries no answer
    Then no processor polls or lands where the host wants it to

  @TDX-07 @receiver
  Scenario: All pages used by the AP loop are accepted before hand-off
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the operating system wakes one processor after the other
    Then every page that the loop uses was accepted before hand-off

  @TDX-01 @sender
  Scenario: The OS maps the mailbox as private memory
    Given an operating system that boots
    When an operating system boots in a TD with a mailbox
    Then the mailbox page is mapped as private memory

  @TDX-02 @sender
  Scenario: The is_private_mmio callback is true only inside the mailbox page
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then is_private_mmio() says yes inside the mailbox page and nowhere else

  @TDX-04 @sender
  Scenario: INIT, SIPI and hypercall start are not used in a TD
    Given an operating system that boots
    When an operating system boots in a TD with a mailbox
    Then processors are started through the mailbox, and by nothing else

  @TDX-08 @sender
  Scenario: The OS tolerates any delay of an AP by the host
    Given an operating system that boots
    When an operating system boots in a TD whose host holds a processor back
    Then the Wakeup of a processor that the host holds back is waited for

  @TDX-09 @sender
  Scenario: CPU offline is refused in a TD without a version 1 mailbox
    Given an operating system that boots
    When an operating system boots in a TD with a version 0 mailbox, and is asked to take a processor offline
    Then the processor stays online
