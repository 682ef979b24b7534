package virtiofsd

// ownSyscalls exist on this architecture only: none does.
var ownSyscalls []uint32
