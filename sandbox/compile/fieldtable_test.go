package compile

// fieldCase is what becomes of a field, or of several alike ("{a,b}"): the change,
// a merge patch of the configuration base, makes a difference in what is compiled, is
// refused by the name in refused, or means something elsewhere.
type fieldCase struct {
	path, base, change string
	refused, elsewhere string
}

const (
	deadline   = `{"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":1000000,"deadline":2000000,"period":2000000}}}`
	userNS     = `{"linux":{"namespaces":[{"type":"user"},{"type":"mount"},{"type":"network"},{"type":"uts"},{"type":"pid"}],"uidMappings":[{"size":10}],"gidMappings":[{"size":10}]}}`
	timeNS     = `{"linux":{"namespaces":[{"type":"time"},{"type":"mount"},{"type":"network"},{"type":"uts"},{"type":"pid"}]}}`
	bindMount  = `{"mounts":[{"destination":"/x","type":"bind","source":"/etc","uidMappings":[{"size":10}],"gidMappings":[{"size":10}]}]}`
	tmpfsMount = `{"mounts":[{"destination":"/x","type":"tmpfs","source":"tmpfs","options":["nodev"]}]}`
	device     = `{"linux":{"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3}]}}`
	rules      = `{"linux":{"resources":{"devices":[{"allow":true,"type":"c","major":10,"minor":200,"access":"r"}]}}}`
	filter     = `{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","openat2"],"action":"SCMP_ACT_ALLOW"}]}}}`
	masked     = `{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]}}}`
	throttles  = `{"linux":{"resources":{"blockIO":{"throttleReadBpsDevice":[{"major":8,"rate":5}],"throttleWriteBpsDevice":[{"major":8,"rate":5}],"throttleReadIOPSDevice":[{"major":8,"rate":5}],"throttleWriteIOPSDevice":[{"major":8,"rate":5}]}}}}`
	limit      = `{"linux":{"resources":{"memory":{"limit":67108864}}}}`
	hook       = `{"hooks":{"startContainer":[{"path":"/bin/true"}]}}`
)

var fieldTable = []fieldCase{
	{path: "ociVersion", elsewhere: "oci.Load checks it, state shows the runtime's"},
	{path: "annotations.*", elsewhere: "state shows them; the sandbox of a pod is in them (cli)"},
	{path: "hooks.{prestart,createRuntime,createContainer,poststart,poststop}[0].{path,args[0],env[0],timeout}", elsewhere: "run on the host (cli, sandbox/hook)"},
	{path: "hooks.startContainer[0].path", change: hook},
	{path: "hooks.startContainer[0].args[0]", base: hook, change: `{"hooks":{"startContainer":[{"path":"/bin/true","args":["a"]}]}}`},
	{path: "hooks.startContainer[0].env[0]", base: hook, change: `{"hooks":{"startContainer":[{"path":"/bin/true","env":["A=1"]}]}}`},
	{path: "hooks.startContainer[0].timeout", base: hook, change: `{"hooks":{"startContainer":[{"path":"/bin/true","timeout":3}]}}`},
	{path: "{solaris,windows,vm,zos,freebsd}", change: `{"solaris":{},"windows":{"layerFolders":["x"]},"vm":{"kernel":{"path":"/x"}},"zos":{},"freebsd":{}}`, elsewhere: "on other platforms"},
	{path: "root.path", change: `{"root":{"path":"other"}}`},
	{path: "root.readonly", change: `{"root":{"readonly":false}}`},
	{path: "hostname", change: `{"hostname":"x"}`},
	{path: "domainname", change: `{"domainname":"x"}`},

	{path: "process.terminal", change: `{"process":{"terminal":true}}`},
	{path: "process.consoleSize.{height,width}", base: `{"process":{"terminal":true}}`, change: `{"process":{"consoleSize":{"height":3,"width":5}}}`},
	{path: "process.user.uid", change: `{"process":{"user":{"uid":7}}}`},
	{path: "process.user.gid", change: `{"process":{"user":{"gid":7}}}`},
	{path: "process.user.umask", change: `{"process":{"user":{"umask":7}}}`},
	{path: "process.user.additionalGids[0]", change: `{"process":{"user":{"additionalGids":[7]}}}`},
	{path: "process.user.username", change: `{"process":{"user":{"username":"x"}}}`, elsewhere: "on Windows"},
	{path: "process.args[0]", change: `{"process":{"args":["x"]}}`},
	{path: "process.commandLine", change: `{"process":{"commandLine":"x"}}`, elsewhere: "on Windows"},
	{path: "process.env[0]", change: `{"process":{"env":["A=1"]}}`},
	{path: "process.cwd", change: `{"process":{"cwd":"/x"}}`},
	{path: "process.capabilities.bounding[0]", change: `{"process":{"capabilities":{"bounding":["CAP_CHOWN"]}}}`},
	{path: "process.capabilities.effective[0]", change: `{"process":{"capabilities":{"effective":["CAP_CHOWN"]}}}`},
	{path: "process.capabilities.inheritable[0]", change: `{"process":{"capabilities":{"inheritable":["CAP_CHOWN"]}}}`},
	{path: "process.capabilities.permitted[0]", change: `{"process":{"capabilities":{"permitted":["CAP_CHOWN"]}}}`},
	{path: "process.capabilities.ambient[0]", change: `{"process":{"capabilities":{"ambient":["CAP_CHOWN"]}}}`},
	{path: "process.rlimits[0].{type,hard,soft}", change: `{"process":{"rlimits":[{"type":"RLIMIT_CORE","hard":3,"soft":2}]}}`},
	{path: "process.noNewPrivileges", change: `{"process":{"noNewPrivileges":false}}`},
	{path: "process.apparmorProfile", change: `{"process":{"apparmorProfile":"x"}}`, refused: "process.apparmorProfile"},
	{path: "process.selinuxLabel", change: `{"process":{"selinuxLabel":"x"}}`, refused: "process.selinuxLabel"},
	{path: "process.oomScoreAdj", change: `{"process":{"oomScoreAdj":5}}`},
	{path: "process.scheduler.policy", change: `{"process":{"scheduler":{"policy":"SCHED_BATCH"}}}`},
	{path: "process.scheduler.nice", base: `{"process":{"scheduler":{"policy":"SCHED_BATCH"}}}`, change: `{"process":{"scheduler":{"nice":5}}}`},
	{path: "process.scheduler.priority", base: `{"process":{"scheduler":{"policy":"SCHED_FIFO","priority":1}}}`, change: `{"process":{"scheduler":{"priority":5}}}`},
	{path: "process.scheduler.flags[0]", base: `{"process":{"scheduler":{"policy":"SCHED_BATCH"}}}`, change: `{"process":{"scheduler":{"flags":["SCHED_FLAG_RESET_ON_FORK"]}}}`},
	{path: "process.scheduler.runtime", base: deadline, change: `{"process":{"scheduler":{"runtime":1000001}}}`},
	{path: "process.scheduler.deadline", base: deadline, change: `{"process":{"scheduler":{"deadline":1900000}}}`},
	{path: "process.scheduler.period", base: deadline, change: `{"process":{"scheduler":{"period":2000001}}}`},
	{path: "process.ioPriority.{class,priority}", change: `{"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":3}}}`},
	{path: "process.execCPUAffinity.initial", change: `{"process":{"execCPUAffinity":{"initial":"0"}}}`},
	{path: "process.execCPUAffinity.final", change: `{"process":{"execCPUAffinity":{"final":"0"}}}`},

	{path: "mounts[0].destination", base: tmpfsMount, change: `{"mounts":[{"destination":"/y","type":"tmpfs","source":"tmpfs","options":["nodev"]}]}`},
	{path: "mounts[0].type", base: tmpfsMount, change: `{"mounts":[{"destination":"/x","type":"ramfs","source":"tmpfs","options":["nodev"]}]}`},
	{path: "mounts[0].source", base: tmpfsMount, change: `{"mounts":[{"destination":"/x","type":"tmpfs","source":"other","options":["nodev"]}]}`},
	{path: "mounts[0].options[0]", base: tmpfsMount, change: `{"mounts":[{"destination":"/x","type":"tmpfs","source":"tmpfs","options":["nosuid"]}]}`},
	{path: "mounts[0].uidMappings[0].{containerID,hostID,size}", base: bindMount,
		change: `{"mounts":[{"destination":"/x","type":"bind","source":"/etc","uidMappings":[{"containerID":1,"hostID":2,"size":11}],"gidMappings":[{"size":10}]}]}`},
	{path: "mounts[0].gidMappings[0].{containerID,hostID,size}", base: bindMount,
		change: `{"mounts":[{"destination":"/x","type":"bind","source":"/etc","uidMappings":[{"size":10}],"gidMappings":[{"containerID":1,"hostID":2,"size":11}]}]}`},

	{path: "linux.uidMappings[0].{containerID,hostID,size}", base: userNS, change: `{"linux":{"uidMappings":[{"size":10},{"containerID":20,"hostID":30,"size":2}]}}`},
	{path: "linux.gidMappings[0].{containerID,hostID,size}", base: userNS, change: `{"linux":{"gidMappings":[{"size":10},{"containerID":20,"hostID":30,"size":2}]}}`},
	{path: "linux.namespaces[0].type", change: timeNS},
	{path: "linux.namespaces[0].path", base: timeNS, change: `{"linux":{"namespaces":[{"type":"time","path":"/proc/1/ns/time"},{"type":"mount"},{"type":"network"},{"type":"uts"},{"type":"pid"}]}}`, refused: "linux.namespaces"},
	{path: "linux.timeOffsets.*.{secs,nanosecs}", base: timeNS, change: `{"linux":{"timeOffsets":{"boottime":{"secs":5,"nanosecs":3}}}}`},
	{path: "linux.sysctl.*", change: `{"linux":{"sysctl":{"kernel.shmmax":"5"}}}`},
	{path: "linux.cgroupsPath", change: `{"linux":{"cgroupsPath":"/x"}}`},
	{path: "linux.devices[0].{path,type,major,minor}", change: device},
	{path: "linux.devices[0].fileMode", base: device, change: `{"linux":{"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3,"fileMode":384}]}}`},
	{path: "linux.devices[0].uid", base: device, change: `{"linux":{"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3,"uid":5}]}}`},
	{path: "linux.devices[0].gid", base: device, change: `{"linux":{"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3,"gid":5}]}}`},
	{path: "linux.netDevices.*.name", change: `{"linux":{"netDevices":{"eth0":{"name":"x"}}}}`, refused: "linux.netDevices"},
	{path: "linux.seccomp.defaultAction", base: filter, change: `{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_LOG"}}}`},
	{path: "linux.seccomp.defaultErrnoRet", base: filter, change: `{"linux":{"seccomp":{"defaultErrnoRet":5}}}`},
	{path: "linux.seccomp.architectures[0]", base: filter, change: `{"linux":{"seccomp":{"architectures":["SCMP_ARCH_X86"]}}}`},
	{path: "linux.seccomp.flags[0]", base: filter, change: `{"linux":{"seccomp":{"flags":["SECCOMP_FILTER_FLAG_LOG"]}}}`},
	{path: "linux.seccomp.listenerPath", base: filter, change: `{"linux":{"seccomp":{"listenerPath":"/x"}}}`, refused: "linux.seccomp.listenerPath"},
	{path: "linux.seccomp.listenerMetadata", base: filter, change: `{"linux":{"seccomp":{"listenerMetadata":"x"}}}`, refused: "linux.seccomp.listener"},
	{path: "linux.seccomp.syscalls[0].{names[0],action,errnoRet}", base: filter,
		change: `{"linux":{"seccomp":{"syscalls":[{"names":["write"],"action":"SCMP_ACT_ERRNO","errnoRet":5}]}}}`},
	{path: "linux.seccomp.syscalls[0].args[0].{index,value,valueTwo,op}", base: filter, change: masked},
	{path: "linux.rootfsPropagation", change: `{"linux":{"rootfsPropagation":"shared"}}`},
	{path: "linux.maskedPaths[0]", change: `{"linux":{"maskedPaths":["/x"]}}`},
	{path: "linux.readonlyPaths[0]", change: `{"linux":{"readonlyPaths":["/x"]}}`},
	{path: "linux.mountLabel", change: `{"linux":{"mountLabel":"x"}}`, refused: "linux.mountLabel"},
	{path: "linux.intelRdt.{closID,schemata[0],l3CacheSchema,memBwSchema,enableMonitoring}", change: `{"linux":{"intelRdt":{}}}`, refused: "linux.intelRdt"},
	{path: "linux.memoryPolicy.{mode,nodes,flags[0]}", change: `{"linux":{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0"}}}`, refused: "linux.memoryPolicy"},
	{path: "linux.personality.domain", change: `{"linux":{"personality":{"domain":"LINUX32"}}}`},
	{path: "linux.personality.flags[0]", base: `{"linux":{"personality":{"domain":"LINUX32"}}}`, change: `{"linux":{"personality":{"flags":["x"]}}}`, refused: "linux.personality"},

	{path: "linux.resources.devices[0].{allow,type,major,minor,access}", change: rules},
	{path: "linux.resources.memory.limit", change: limit},
	{path: "linux.resources.memory.reservation", change: `{"linux":{"resources":{"memory":{"reservation":67108864}}}}`},
	{path: "linux.resources.memory.swap", base: limit, change: `{"linux":{"resources":{"memory":{"swap":67108865}}}}`, elsewhere: "holds: a guest has no swap"},
	{path: "linux.resources.memory.{kernel,kernelTCP}", change: `{"linux":{"resources":{"memory":{"kernel":67108865,"kernelTCP":67108865}}}}`, elsewhere: "counts as memory in cgroup v2"},
	{path: "linux.resources.memory.swappiness", change: `{"linux":{"resources":{"memory":{"swappiness":10}}}}`, elsewhere: "holds: a guest has no swap"},
	{path: "linux.resources.memory.disableOOMKiller", change: `{"linux":{"resources":{"memory":{"disableOOMKiller":true}}}}`, refused: "linux.resources.memory.disableOOMKiller"},
	{path: "linux.resources.memory.useHierarchy", change: `{"linux":{"resources":{"memory":{"useHierarchy":true}}}}`, elsewhere: "holds: cgroup v2 is a hierarchy"},
	{path: "linux.resources.memory.checkBeforeUpdate", elsewhere: "update asks the agent for it"},
	{path: "linux.resources.cpu.shares", change: `{"linux":{"resources":{"cpu":{"shares":500}}}}`},
	{path: "linux.resources.cpu.quota", change: `{"linux":{"resources":{"cpu":{"quota":50000}}}}`},
	{path: "linux.resources.cpu.burst", base: `{"linux":{"resources":{"cpu":{"quota":50000}}}}`, change: `{"linux":{"resources":{"cpu":{"burst":5000}}}}`},
	{path: "linux.resources.cpu.period", base: `{"linux":{"resources":{"cpu":{"quota":50000}}}}`, change: `{"linux":{"resources":{"cpu":{"period":50000}}}}`},
	{path: "linux.resources.cpu.realtimeRuntime", change: `{"linux":{"resources":{"cpu":{"realtimeRuntime":5000}}}}`, refused: "linux.resources.cpu.realtimeRuntime"},
	{path: "linux.resources.cpu.realtimePeriod", change: `{"linux":{"resources":{"cpu":{"realtimePeriod":5000}}}}`, refused: "linux.resources.cpu.realtimePeriod"},
	{path: "linux.resources.cpu.cpus", change: `{"linux":{"resources":{"cpu":{"cpus":"0"}}}}`},
	{path: "linux.resources.cpu.mems", change: `{"linux":{"resources":{"cpu":{"mems":"9"}}}}`, refused: "linux.resources.cpu.mems"},
	{path: "linux.resources.cpu.idle", change: `{"linux":{"resources":{"cpu":{"idle":1}}}}`},
	{path: "linux.resources.pids.limit", change: `{"linux":{"resources":{"pids":{"limit":5}}}}`},
	{path: "linux.resources.blockIO.weight", change: `{"linux":{"resources":{"blockIO":{"weight":50}}}}`, refused: "linux.resources.blockIO.weight"},
	{path: "linux.resources.blockIO.leafWeight", change: `{"linux":{"resources":{"blockIO":{"leafWeight":50}}}}`, refused: "linux.resources.blockIO.leafWeight"},
	{path: "linux.resources.blockIO.weightDevice[0].{major,minor,weight,leafWeight}", change: `{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":50}]}}}}`, refused: "linux.resources.blockIO.weightDevice"},
	{path: "linux.resources.blockIO.{throttleReadBpsDevice,throttleWriteBpsDevice,throttleReadIOPSDevice,throttleWriteIOPSDevice}[0].{major,minor,rate}", change: throttles},
	{path: "linux.resources.hugepageLimits[0].{pageSize,limit}", change: `{"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MB","limit":5}]}}}`, elsewhere: "holds: a guest's kernel has no huge pages"},
	{path: "linux.resources.network.{classID,priorities[0].name,priorities[0].priority}", change: `{"linux":{"resources":{"network":{"classID":5}}}}`, refused: "linux.resources.network"},
	{path: "linux.resources.rdma.*.{hcaHandles,hcaObjects}", change: `{"linux":{"resources":{"rdma":{"mlx":{"hcaHandles":5}}}}}`, refused: "linux.resources.rdma"},
	{path: "linux.resources.unified.*", change: `{"linux":{"resources":{"unified":{"memory.high":"50000"}}}}`},
}
