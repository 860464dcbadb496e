Feature: The operating system sends commands
  To wake a processor the operating system fills WakeupVector and ApicId, stores Command last, and waits until the processor
  has set it back to 0. Whatever comes between spoils the command or wakes somebody else.

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
