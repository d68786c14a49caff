package cmd

import "github.com/spf13/cobra"

// commands are all commands, in the order help shows them.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.demoCommand(),
		a.devCommand(),
		a.gatewayCommand(),
		a.loginCommand(), a.logoutCommand(), a.whoamiCommand(), a.lsCommand(), a.doctorCommand(),
		a.connectCommand(), a.execCommand(), a.runJobCommand(), a.explainCommand(), a.mcpCommand(),
		a.approvalsCommand(), a.requestCommand(), a.sessionsCommand(), a.usersCommand(), a.tokenCommand(), a.auditCommand(), a.lineageCommand(),
		a.maskCommand(), a.policyCommand(), a.runbookCommand(),
		a.versionCommand(),
	}
}
