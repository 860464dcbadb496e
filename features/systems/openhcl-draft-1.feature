Feature: The first rejected design: an address in /cpus
  The drafts of August 2024 announced the mailbox by a property of /cpus and an enable-method beside it. The binding
  that was accepted has a node instead, and nothing looks at /cpus. The checks of DeviceTree nodes do not apply to such
  a tree and say why, and a TDX guest of OpenHCL lacks its node (HVL-06).

  @HVL-06 @tables
  Scenario: The design of the first two drafts is recognised by what stands in /cpus
    When the DeviceTree is read
    Then the address in /cpus is named as the first two drafts of the binding, and no node announces a mailbox
