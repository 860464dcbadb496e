Feature: The second rejected design: an enable-method in each cpu node
  The draft of May 2025 had the node, and demanded an enable-method in each cpu node as well. The binding that was
  accepted takes the node for the whole signal: what is left in the cpu nodes is told of and held against nobody. The
  size cells of /reserved-memory are those of the boot loader as it ships (DT-08).

  @DT-18 @tables
  Scenario: The design of the third draft is recognised by the enable-method of each cpu node
    Given a mailbox node in the DeviceTree
    When the DeviceTree is read
    Then the enable-method of each cpu is named as the third draft of the binding

  @DT-01 @DT-03 @HVL-06 @tables
  Scenario: The node beside the enable-methods of the third draft is the accepted one
    Given a mailbox node in the DeviceTree
    And a DeviceTree made by OpenHCL
    When the DeviceTree is read
    Then its compatible is the single string intel,wakeup-mailbox
    And it is a child of /reserved-memory
    And a TDX guest, and no other, has the node wakeup_table at 0xFFFFF000
