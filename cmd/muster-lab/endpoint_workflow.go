package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"muster/lab"
)

func newWorkflow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workflow",
		Short: "Start workflows, and complete or fail them by hand",
		Long:  "By these commands workflows are tried without runners: they ask for jobs and report their ends as a runner would.",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(newWorkflowAdd(), newWorkflowStart(), newWorkflowComplete(), newWorkflowFail())
	return cmd
}

func newWorkflowAdd() *cobra.Command {
	var a access
	var tasks []string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a workflow of one stage",
		Long: "Adds a workflow with one stage of the same name, and its tasks where they are not there: tasks that do\n" +
			"nothing, also for a runner.",
		Example: "  muster-lab endpoint workflow add try\n  muster-lab endpoint workflow add try --task format --task install",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(o *lab.Operator) error { return o.AddWorkflow(cmd.Context(), args[0], tasks...) })
		},
	}
	a.flags(cmd)
	cmd.Flags().StringArrayVar(&tasks, "task", nil, "task of the workflow (repeatable); by default one called NAME")
	return cmd
}

// onMachines makes a command that does something with machines, which follow
// skip other arguments. states are those of the machines that --all means; none is any.
func onMachines(cmd *cobra.Command, skip int, states []string, fn func(o *lab.Operator, ctx context.Context, args []string, machine string) (lab.MachineState, error)) *cobra.Command {
	var a access
	var output string
	var all bool
	a.flags(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().BoolVar(&all, "all", false, "all machines of the endpoint")
	if len(states) > 0 {
		cmd.Flags().Lookup("all").Usage = "all machines that are " + strings.Join(states, " or ")
	}
	cmd.Args = cobra.MinimumNArgs(skip)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		machines := args[skip:]
		if err := someOrAll(cmd, "machines", len(machines), all); err != nil {
			return err
		}
		return a.with(func(o *lab.Operator) error {
			if all {
				list, err := o.Machines(cmd.Context())
				if err != nil {
					return err
				}
				for _, m := range list {
					if len(states) == 0 || slices.Contains(states, m.State) {
						machines = append(machines, m.UUID)
					}
				}
			}
			return forEach(cmd, output, machines, func(ctx context.Context, machine string) (lab.MachineState, error) {
				return fn(o, ctx, args, machine)
			})
		})
	}
	return cmd
}

func newWorkflowStart() *cobra.Command {
	return onMachines(&cobra.Command{
		Use:   "start WORKFLOW MACHINE...",
		Short: "Start a workflow on machines, also on those that have it already",
		Long:  "Starts a workflow from its beginning, and makes the machines runnable. Machines are given by name or UUID.",
		Example: "  muster-lab endpoint workflow start try node-01 node-02\n" +
			"  muster-lab endpoint workflow start try --all",
	}, 1, nil, func(o *lab.Operator, ctx context.Context, args []string, machine string) (lab.MachineState, error) {
		return o.StartWorkflow(ctx, args[0], machine)
	})
}

func newWorkflowComplete() *cobra.Command {
	return onMachines(&cobra.Command{
		Use:   "complete MACHINE...",
		Short: "Complete the workflows of machines, without running the tasks",
		Long: "Does what a runner does but for the tasks: asks for one job after the other and reports it as finished. A job\n" +
			"that a runner has under way is taken over, so stop runners first.",
		Example: "  muster-lab endpoint workflow complete node-01\n  muster-lab endpoint workflow complete --all",
	}, 0, []string{"running"}, func(o *lab.Operator, ctx context.Context, _ []string, machine string) (lab.MachineState, error) {
		return o.CompleteWorkflow(ctx, machine)
	})
}

func newWorkflowFail() *cobra.Command {
	var message string
	cmd := onMachines(&cobra.Command{
		Use:     "fail MACHINE...",
		Short:   "Let the next task of machines fail, without running it",
		Long:    "Reports the next task as failed, as a runner would. The machine is not runnable then; `workflow start` starts over.",
		Example: `  muster-lab endpoint workflow fail node-02 --message "disk is full"`,
	}, 0, []string{"running"}, func(o *lab.Operator, ctx context.Context, _ []string, machine string) (lab.MachineState, error) {
		return o.FailWorkflow(ctx, machine, message)
	})
	cmd.Flags().StringVar(&message, "message", "", "what the job's log says")
	return cmd
}
