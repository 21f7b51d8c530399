// The Windows Forms example: shows MainForm.
using System.Windows.Forms;

namespace WinFormsExample;

internal static class Program
{
    [STAThread]
    private static void Main()
    {
        Application.EnableVisualStyles();
        Application.SetCompatibleTextRenderingDefault(false);
        using MainForm form = new();
        Application.Run(form);
    }
}
