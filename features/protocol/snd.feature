Feature: The operating system sends commands
  To wake a processor the operating system fills WakeupVector and ApicId, stores Command last, and waits until the processor
  has set it back to 0. Whatever comes between spoils the command or wakes somebody else. What senders that nobody serialises
  do to each other is seen with mpwake explore --callers 2; other runs have one at a time.

  @SND-01 @sender
  Scenario: The OS fills WakeupVector and ApicId before it stores Command 1
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then each Wakeup finds the wakeup vector and the target's ApicId in their fields

  @SND-02 @sender
  Scenario: The next command is sent only after Command has become 0
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then no command is sent while Command is not 0

  @SND-03 @sender
  Scenario: The OS uses only the defined Command values
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then every command is one that the edition defines

  @SND-04 @sender
  Scenario: ApicId holds the full 32-bit local APIC ID of the target
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then ApicId is the target's APIC ID, all 32 bits

  @SND-05 @sender
  Scenario: ApicId and WakeupVector stay unchanged while Command is not 0
    Given a bring-up through the mailbox
    When a processor acknowledges late
    Then ApicId and WakeupVector stay as they are while Command is not 0

  @SND-06 @sender
  Scenario: Command is written with a 16-bit access
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then Command is stored with 16 bits

  @SND-07 @sender
  Scenario: The OS does not write Command 0 while an AP may still act on the command
    Given a bring-up through the mailbox
    When a processor never acknowledges
    Then the operating system does not set Command to 0 itself

  @SND-08 @sender
  Scenario: The OS uses no broadcast or invalid ID
    Given a bring-up through the mailbox
    When three processors are woken one after the other
    Then every ApicId is that of a listed processor

  @SND-11 @sender
  Scenario: The OS waits for Command 0 before it reports the AP as started
    Given a bring-up through the mailbox
    When a processor acknowledges late
    Then success is returned after Command has become 0

  @SND-20 @receiver
  Scenario: The order in which APs are woken is free
    Given an AP loop that polls the mailbox
    When the operating system wakes the processors from the last to the first
    Then each lands, whatever the order

  @SND-10 @sender
  Scenario: Senders are serialised and one command is in flight at a time
    Given an operating system that boots
    When an operating system is asked for seven processors at the same time
    Then one command is in flight at a time, and its fields are those of one request

  @SND-12 @sender
  Scenario: The wake routine and its data stay valid until the AP itself signals that it left them
    Given an operating system that boots
    When an operating system boots with processors that are slow to leave for the vector
    Then the wake routine and its data are kept until the processor has told that it lives

  @SND-14 @sender
  Scenario: A vector below 1 MB is used only if the memory map reports memory there
    Given an operating system that boots
    When an operating system boots without usable memory below 1 MiB
    Then no wakeup vector is below 1 MiB, where the memory map reports no memory

  @SND-16 @sender
  Scenario: A vector in ReservedForOs leaves bytes 0 to 15 and the firmware half untouched
    Given an operating system that boots
    When an operating system boots without usable memory below 1 MiB
    Then a wake routine in ReservedForOs uses nothing of the mailbox page beyond it

  @SND-19 @sender
  Scenario: A failure to map the mailbox is detected before the first store
    Given an operating system that boots
    When an operating system boots with a mailbox that cannot be mapped
    Then each start fails with an error, and nothing is stored to the mailbox

  @SND-20 @sender
  Scenario: An operating system brings up the same processors in any order
    Given an operating system that boots
    When an operating system boots with its processors listed in descending order
    Then the same processors come alive in whatever order they are listed

  @SND-21 @sender
  Scenario: The OS sends only to enumerated APs that are still polling
    Given an operating system that boots
    When an operating system is asked for a processor that runs and for one that is not listed
    Then every command is for a listed processor that polls

  @SND-09 @sender
  Scenario: The OS never targets its own boot processor
    Given an operating system that boots
    When an operating system boots on the processor with APIC ID 2
    Then no command is for the processor that boots

  @SND-13 @sender
  Scenario: WakeupVector points into ReservedForOs or below 1 MB
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then each wakeup vector is in ReservedForOs or below 1 MiB

  @SND-15 @sender
  Scenario: The wake routine that runs under firmware page tables is within one physical page
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then all that the wake routine needs until it has loaded CR3 is in the page of the vector

  @SND-17 @sender
  Scenario: The wake routine does not rely on the GDT, IDT, stack or segments of firmware
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then the wake routine uses no stack and no descriptor before it has its own

  @SND-17 @sender
  Scenario: The wake routine does not rely on EFER.NXE
    Given an operating system that boots
    When an operating system boots with EFER.NXE clear at the wakeup vector
    Then a processor comes alive where firmware has not set EFER.NXE

  @SND-17 @sender
  Scenario: The wake routine does not rely on what firmware leaves in CR0, CR4 and RFLAGS
    Given an operating system that boots
    When an operating system boots with bits of CR0 and CR4 and the direction flag set at the wakeup vector
    Then a processor comes alive whatever else CR0, CR4, RFLAGS and the general registers hold

  @SND-17 @sender
  Scenario: The wake routine does not rely on page tables of four levels
    Given an operating system that boots
    When an operating system boots with page tables of five levels at the wakeup vector
    Then a processor comes alive on page tables of five levels

  @SND-18 @sender
  Scenario: The wake routine keeps interrupts off until it has its own IDT
    Given an operating system that boots
    When an operating system boots with three processors to start
    Then the wake routine does not enable interrupts before it has loaded its own IDT
