// The application of the WPF example.
using System.Windows;

namespace WpfExample;

/// <summary>The application; App.xaml names its window.</summary>
public partial class App : Application
{
}
