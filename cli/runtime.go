package cli

import "os"

// runtimeVerbs are those of the OCI runtime command line, as runc has them.
var runtimeVerbs = []verb{
	{"create", "[flags] ID", "create a container", cmdCreate},
	{"start", "ID", "run the command of a created container", cmdStart},
	{"run", "[flags] ID", "create and start a container", cmdRun},
	{"state", "ID", "print the state of a container as JSON", cmdState},
	{"kill", "[--all] ID [SIGNAL]", "send a signal to a container (default: SIGTERM)", cmdKill},
	{"delete", "[--force] ID", "remove a container that has stopped", cmdDelete},
	{"exec", "[flags] ID COMMAND [ARG...]", "run another process in a running container", cmdExec},
	{"list", "[flags]", "list containers", cmdList},
	{"ps", "[flags] ID", "list the processes of a container", cmdPS},
	{"pause", "ID", "stop all processes of a container for a while", cmdPause},
	{"resume", "ID", "let a paused container go on", cmdResume},
	{"update", "[flags] ID", "change the limits of a container", cmdUpdate},
	{"events", "[--stats] [--interval TIME] ID", "print what a container uses, and that it ran out of memory", cmdEvents},
	{"checkpoint", "", "not supported", cmdCheckpoint},
	{"restore", "", "not supported", cmdRestore},
	{"spec", "[--bundle DIR]", "write a config.json to start from", cmdSpec},
	{"features", "", "print what this runtime supports as JSON", cmdFeatures},
}

// Runtime is the command line of kata-runtime; the result is its exit code.
func Runtime(args []string) int {
	a := &app{name: "kata-runtime", stdout: os.Stdout, stderr: os.Stderr}
	return a.main(args, runtimeVerbs)
}
