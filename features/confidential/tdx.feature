Feature: The mailbox in a guest that does not trust its host
  Neither the page nor a processor's APIC ID is left to the host, and a call to it tells it no more than it must know.

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

  @TDX-07 @receiver
  Scenario: All pages used by the AP loop are accepted before hand-off
    Given an AP loop that polls the mailbox
    And a confidential guest
    When the operating system wakes one processor after the other
    Then every page that the loop uses was accepted before hand-off
