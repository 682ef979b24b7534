// Package vm is what a sandbox knows of virtual machines: a Spec goes into a
// Driver, a running Machine comes out.
//
// A driver is the code for one virtual machine monitor. Nobody outside this
// folder asks which one it is: a driver declares what it can (Capabilities), a
// machine says what it needs done (GuestShare), and errors are typed. The suite in
// vm/vmtest is the contract in executable form; every driver passes it.
//
// The package does not choose a driver for a policy it does not know, does not
// speak with the agent, and knows no container.
package vm
