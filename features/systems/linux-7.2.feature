Feature: Linux 7.2 gives processors back and takes the mailbox of either enumeration
  With a version 1 mailbox a processor that goes offline jumps to ResetVector, is verified by Test, and can be woken
  again. ResetVector is not looked at: one that is 0 is believed (MADT-10, RST-02, DUP-02). Test is sent whatever stands
  in Command (RST-16); before a next kernel processors jump and are not tested (RST-09, KEX-05), so that Command may be
  2 there (KEX-07), and the node of a DeviceTree is left to that kernel although its mailbox is used up (KEX-06). A
  panic on another processor sends the one that boots to ResetVector too (RST-22). A second wake is not refused (DUP-04),
  an address of the MADT that is not aligned is taken (MADT-27), the mapping is not looked at (SND-19), without a mailbox
  INIT and SIPI are sent in a TD too (SEL-07, TDX-04), the wake routine takes two pages (SND-15, TRM-08), and it leaves
  EFER.NXE to firmware (SND-17).

  @RST-01 @RST-09 @sender
  Scenario: Linux 7.2 takes a processor offline, verifies it by Test, and wakes it again
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with a wakeup entry of version 1
    Then the processor jumps to ResetVector and lands again at the vector of a second Wakeup
    And Test follows the jump, and is answered before the processor is woken again

  @RST-03 @RST-04 @RST-05 @RST-06 @RST-20 @sender
  Scenario: Linux 7.2 jumps to ResetVector in the state that ACPI 6.6 asks for
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system takes a processor offline and then starts another kernel
    Then interrupts are disabled at the jump to ResetVector
    And the processor is in long mode at the jump to ResetVector, and in no compatibility mode
    And the page of ResetVector is mapped at its own address and may be executed
    And CS, SS, DS and ES are flat at the jump to ResetVector
    And global pages are off at the jump, and the code that jumps stays mapped

  @RST-07 @RST-12 @RST-22 @sender
  Scenario: Each processor of Linux 7.2 jumps by itself, and its way back is kept until it answers
    Given an operating system that boots
    When an operating system takes a processor offline and then starts another kernel
    Then each processor makes its own jump, one after the other
    And the reset environment is freed only after Test was answered
    And the processor that boots does not jump to ResetVector

  @TMO-05 @TMO-09 @sender
  Scenario: Linux 7.2 gives up on a Test after a second, and keeps what it lent
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system takes two processors offline, and the first never answers Test
    Then the wait for Test ends within a million polls, an error is told, and Command stays 2
    And the reset environment of the processor that did not answer is not freed

  @DUP-03 @RST-01 @sender
  Scenario: Linux 7.2 refuses to take a processor offline with a version 0 mailbox
    Given an operating system that boots
    When an operating system takes a processor offline and online again, with a wakeup entry of version 0
    Then taking a processor offline is refused where it could not be woken again
    And no processor jumps to a reset vector that mailbox version 0 does not have

  @RST-21 @sender
  Scenario: Linux 7.2 falls back to version 0 without page tables for the jump
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system cannot build the page tables for the jump to ResetVector
    Then taking a processor offline is refused, and MailBoxAddress in memory is 0

  @MADT-22 @sender
  Scenario: Linux 7.2 reads no ResetVector from an entry of 16 bytes
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a version 1 entry of 16 bytes and is asked to take a processor offline
    Then the bytes of the next entry are not taken for a ResetVector

  @MADT-25 @sender
  Scenario: Linux 7.2 takes what it knows of a newer entry
    Given an operating system that boots
    When an operating system boots with a wakeup entry of version 2 and 32 bytes
    Then the mailbox of an entry that is newer and longer is used

  @SEL-01 @sender
  Scenario: Linux 7.2 takes the mailbox of the MADT where there is a DeviceTree too
    Given an operating system that boots
    And an operating system that behaves as Linux
    When an operating system boots with a MADT and a DeviceTree
    Then the mailbox of the MADT alone is used, and each processor is registered once

  @SEL-02 @sender
  Scenario: With acpi=off Linux 7.2 takes the mailbox of the DeviceTree
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with acpi=off, a MADT and a DeviceTree
    Then the mailbox of the DeviceTree alone is used

  @DT-13 @DT-15 @SEL-09 @sender
  Scenario: Linux 7.2 needs nothing but the node, and takes the APIC IDs from the cpu nodes
    Given an operating system that boots
    And an operating system that takes a mailbox from a DeviceTree
    And an operating system that behaves as Linux
    When an operating system boots with a mailbox node in the DeviceTree
    Then the mailbox is used although nothing but its node announces it
    And ApicId is the reg of the cpu node, above 255 too
    And every processor is registered before the mailbox is set up

  @DT-12 @sender
  Scenario: Linux 7.2 wakes each processor of a DeviceTree once
    Given an operating system that boots
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots from a DeviceTree and is asked to take a processor offline and online again
    Then no processor is given back, tested or woken again

  @TMO-03 @sender
  Scenario: Linux 7.2 waits without limit for a Wakeup
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then the operating system is still waiting when nothing happens any more
