package qemu

// q35 is the machine with PCI Express: to it devices, memory and processors can be
// added while it runs. It has none of what a PC has and a container does not need; qboot
// starts it as it starts microvm, the kernel itself numbers the devices.
var q35 = &target{
	arch: "amd64", name: "q35", device: "-pci-non-transitional",
	program: microvm.program, pkg: microvm.pkg, suffix: microvm.suffix,
	firmware: microvm.firmware,
	kernel:   microvm.kernel, checkKernel: microvm.checkKernel,
	properties: ",sata=off,smbus=off,usb=off,vmport=off,hpet=off,i8042=off", emulated: microvm.emulated,
	hot: true,
	// The kernel uses memory that comes, and keeps apart what it cannot move: so most of
	// it can go again.
	line:  []string{"console=ttyS0", "memhp_default_state=online", "memory_hotplug.online_policy=auto-movable"},
	noROM: ",romfile=", told: true,
	late: &latePort{device: "pcie-root-port,id=" + latePortName + ",bus=pcie.0,addr=1d.0,chassis=100"},
}
