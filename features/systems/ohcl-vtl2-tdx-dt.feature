Feature: The OpenHCL kernel in VTL2 of a TD
  A guest with a DeviceTree and acpi=off: the mailbox comes from its node, and code outside ACPI needs its address to
  keep the page private. Nothing below 1 MiB is there for a trampoline, so the limit is raised to 4 GiB; the vector is
  then in neither of the places that ACPI 6.6 describes (SND-13, TRM-01). The wake routine takes two pages (SND-15,
  TRM-08), the mapping is not looked at (SND-19), a second wake is not refused (DUP-04), and where there is a MADT an
  address that is not aligned is taken (MADT-27).

  @SEL-02 @sender
  Scenario: With acpi=off OpenHCL's kernel takes the mailbox of the DeviceTree alone
    Given an operating system that boots
    And an operating system that behaves as Linux
    And an operating system that takes a mailbox from a DeviceTree
    When an operating system boots with acpi=off, a MADT and a DeviceTree
    Then the mailbox of the DeviceTree alone is used

  @DT-13 @DT-15 @SEL-09 @sender
  Scenario: OpenHCL's kernel needs nothing but the node, and lists its processors first
    Given an operating system that boots
    And an operating system that takes a mailbox from a DeviceTree
    And an operating system that behaves as Linux
    When an operating system boots with a mailbox node in the DeviceTree
    Then the mailbox is used although nothing but its node announces it
    And ApicId is the reg of the cpu node, above 255 too
    And every processor is registered before the mailbox is set up

  @TDX-02 @sender
  Scenario: OpenHCL's kernel sets the mailbox up once and hands its address out
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the mailbox is set up once, and code outside ACPI is told its address

  @HVL-04 @sender
  Scenario: OpenHCL's kernel replaces the wake callback only if it has found a mailbox
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the wake callback is replaced where there is a mailbox, and nowhere else

  @HVL-04 @sender
  Scenario: Without a mailbox OpenHCL's kernel in a TD starts nobody
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD without a mailbox
    Then every start fails, and no callback or hypercall is used

  @HVL-03 @sender
  Scenario: OpenHCL's kernel in a TD installs no hypercall
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the hypercall is installed where the isolation is not TDX, and only there

  @TDX-04 @sender
  Scenario: In a TD OpenHCL's kernel starts processors through the mailbox only
    Given an operating system that boots
    When an operating system boots in a TD with a mailbox
    Then processors are started through the mailbox, and by nothing else

  @TRM-03 @HVL-01 @sender
  Scenario: In a TD OpenHCL's kernel places its trampoline below 4 GiB
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then the trampoline lies below 4 GiB, although there is no memory below 1 MiB
    And the limit is 4 GiB, and the trampoline is reserved and set up

  @TDX-01 @sender
  Scenario: OpenHCL's kernel maps the mailbox as private memory
    Given an operating system that boots
    When an operating system boots in a TD with a mailbox
    Then the mailbox page is mapped as private memory

  @TDX-02 @sender
  Scenario: For OpenHCL's kernel no page but the mailbox is private
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then is_private_mmio() says yes inside the mailbox page and nowhere else

  @HVL-05 @sender
  Scenario: In a TD OpenHCL's kernel sets its memory for real mode up in one place
    Given an operating system that boots
    And an operating system that behaves as Linux at a Hyper-V virtual trust level
    When an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree
    Then memory for real mode is set up in one place, before any processor is listed

  @TDX-08 @sender
  Scenario: OpenHCL's kernel waits for a processor that the host holds back
    Given an operating system that boots
    When an operating system boots in a TD whose host holds a processor back
    Then the Wakeup of a processor that the host holds back is waited for
