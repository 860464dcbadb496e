Feature: Test and the reset vector
  ACPI 6.6 lets an operating system give a processor back: it jumps to the reset vector, and a Test command shows that it
  waits on the mailbox again.

  @RST-10 @receiver
  Scenario: An AP answers Test by clearing Command and keeps polling
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test with a vector to a processor that was never woken
    Then the addressed processor answers by setting Command to 0 and does not jump

  @RST-11 @receiver
  Scenario: An AP ignores a Test for another APIC ID
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system sends Test to an APIC ID that nobody has
    Then no processor answers

  @RST-13 @receiver
  Scenario: After the answer to Test an AP accepts a new Wakeup with a new vector
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system resets a processor, tests it, and wakes it again, three times
    Then each new Wakeup is taken with its new vector

  @RST-15 @receiver
  Scenario: An AP that was never woken answers Test too
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    When the operating system tests a processor and then wakes it
    Then Test is answered before the first wake, and the wake is taken after it

  @RST-14 @sender
  Scenario: Test is not sent to firmware with mailbox version 0
    Given a bring-up through the mailbox
    And an edition whose mailbox has version 0
    When three processors are woken one after the other
    Then Test is never sent

  @RST-08 @receiver
  Scenario: The reset of one AP does not disturb the others
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system resets one processor while another runs and a third is parked
    Then the others go on as if nothing had happened

  @RST-17 @receiver
  Scenario: Reset code needs no more than its one identity-mapped page at first
    Given an AP loop that polls the mailbox
    And a reset vector
    When the operating system wakes one processor after the other
    Then the code at the reset vector first needs no memory but the vector's own page

  @RST-18 @receiver
  Scenario: Stack, GDT and page tables of the reset code lie in NVS or reserved memory
    Given an AP loop that polls the mailbox
    And a reset vector
    When the operating system wakes one processor after the other
    Then nothing that the reset code uses is in memory that the operating system gets

  @RST-19 @receiver
  Scenario: Reset code copes with the CR0, CR4 and EFER values that the OS has chosen
    Given an AP loop that polls the mailbox
    And an edition that defines Test
    And a reset vector
    When the operating system sets bits of CR4 before it resets a processor
    Then it answers Test whatever was set

  @RST-01 @sender
  Scenario: An AP is reused only through a nonzero ResetVector of a version above 0
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with a wakeup entry of version 0
    Then no processor jumps to a reset vector that mailbox version 0 does not have

  @RST-01 @sender
  Scenario: No AP is sent to a reset vector of version 0 at a restart
    Given an operating system that boots
    When an operating system restarts, with a wakeup entry of version 0
    Then no processor jumps to a reset vector at a restart with mailbox version 0

  @RST-02 @sender
  Scenario: The OS checks that ResetVector is not 0 before it relies on it
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with ResetVector 0
    Then taking a processor offline is refused, and nothing is set up at address 0

  @RST-03 @sender
  Scenario: Interrupts are disabled at the jump to ResetVector
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then interrupts are disabled at the jump to ResetVector

  @RST-04 @sender
  Scenario: Long mode is enabled at the jump to ResetVector
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then the processor is in long mode at the jump to ResetVector, and in no compatibility mode

  @RST-05 @sender
  Scenario: The page of ResetVector is identity-mapped at the jump
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then the page of ResetVector is mapped at its own address and may be executed

  @RST-06 @sender
  Scenario: Selectors are flat at the jump to ResetVector
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then CS, SS, DS and ES are flat at the jump to ResetVector

  @RST-07 @sender
  Scenario: Each AP makes the jump to ResetVector itself, one after the other
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then each processor makes its own jump, one after the other

  @RST-09 @sender
  Scenario: The OS sends Test to an AP after its jump to ResetVector
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then each jump to ResetVector is followed by a Test for that processor

  @RST-12 @sender
  Scenario: The reset environment stays until Test is answered
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then the reset environment is freed only after Test was answered

  @RST-16 @sender
  Scenario: Test is sent only after Command has become 0
    Given an operating system that boots
    When an operating system takes two processors offline, and the first never answers Test
    Then Test is sent only while Command is 0

  @RST-20 @sender
  Scenario: Linux clears CR4.PGE and loads an identity CR3 before the jump
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system takes a processor offline and then starts another kernel
    Then global pages are off at the jump, and the code that jumps stays mapped

  @RST-21 @sender
  Scenario: If the identity map cannot be built Linux behaves as under version 0
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system cannot build the page tables for the jump to ResetVector
    Then taking a processor offline is refused, and MailBoxAddress in memory is 0

  @RST-22 @sender
  Scenario: The boot processor does not jump to ResetVector
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then the processor that boots does not jump to ResetVector

  @RST-22 @sender
  Scenario: The boot processor does not jump to ResetVector at a restart
    Given an operating system that boots
    When an operating system restarts, with a wakeup entry of version 1
    Then the processor that boots does not jump to ResetVector at a restart

  @RST-22 @sender
  Scenario: The boot processor does not jump to ResetVector when the machine is turned off
    Given an operating system that boots
    When an operating system turns the machine off, with a wakeup entry of version 1
    Then the processor that boots does not jump to ResetVector when the machine is turned off

  @RST-22 @sender
  Scenario: The boot processor does not jump to ResetVector when another processor panics
    Given an operating system that boots
    When an operating system panics on a processor that was woken, with a wakeup entry of version 1
    Then the processor that boots does not jump to ResetVector at a panic elsewhere

  @RST-23 @sender
  Scenario: No NMI or machine check reaches an AP on the reset path
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then no NMI can be delivered between the operating system's IDT and ResetVector
